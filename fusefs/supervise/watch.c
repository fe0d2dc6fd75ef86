#include "fusefs/supervise/watch.h"

#include <poll.h>

static int64_t oldest_request(struct shared *s, int64_t now)
{
	enum { MS = 1000000 };
	int64_t longest = 0;
	for (unsigned i = 0; i < SHARED_THREADS; i++) {
		int64_t since = (int64_t)(atomic_load(&s->slots[i].since) / MS);
		if (atomic_load(&s->slots[i].unique) != 0 && now - since > longest)
			longest = now - since;
	}
	return longest;
}

int64_t watch_look(struct watch *w, struct shared *shared, int fuse_fd, int64_t now)
{
	struct pollfd fuse = { .fd = fuse_fd, .events = POLLIN };
	uint64_t answered = atomic_load(&shared->answered);
	bool waiting = poll(&fuse, 1, 0) > 0 && (fuse.revents & POLLIN);
	if (!waiting || answered != w->answered)
		w->since = 0;
	else if (w->since == 0)
		w->since = now;
	w->answered = answered;
	int64_t oldest = oldest_request(shared, now);
	int64_t waited = w->since ? now - w->since : 0;
	return waited > oldest ? waited : oldest;
}
