#include "fusefs/supervise/watch.h"

#include <poll.h>
#include <unistd.h>

/*
 * Read, not mapped: a page that no thread has used yet stays a hole. The bit of requests
 * that come again is left out, as in the marks.
 */
static uint64_t number_in(int shared_fd, unsigned thread)
{
	uint64_t number = 0;
	off_t at = SHARED_HEAD + (off_t)thread * SHARED_BUFFER + SHARED_NUMBER_AT;
	return pread(shared_fd, &number, sizeof(number), at) == (ssize_t)sizeof(number)
		   ? number & (UINT64_MAX >> 1)
		   : 0;
}

/* A thread that is stopped just after it has received a request has not marked it yet:
 * then it counts from when it was seen. */
static int64_t oldest_request(struct watch *w, struct shared *s, int shared_fd,
			      int64_t now)
{
	enum { MS = 1000000 };
	int64_t longest = 0;
	for (unsigned i = 0; i < SHARED_THREADS; i++) {
		uint64_t number = number_in(shared_fd, i);
		if (number != w->threads[i].number)
			w->threads[i].since = now;
		w->threads[i].number = number;
		int64_t since = atomic_load(&s->slots[i].unique) == number
				    ? (int64_t)(atomic_load(&s->slots[i].since) / MS)
				    : w->threads[i].since;
		if (number != 0 && now - since > longest)
			longest = now - since;
	}
	return longest;
}

int64_t watch_look(struct watch *w, struct shared *shared, int shared_fd, int fuse_fd,
		   int64_t now)
{
	struct pollfd fuse = { .fd = fuse_fd, .events = POLLIN };
	uint64_t answered = atomic_load(&shared->answered);
	bool waiting = poll(&fuse, 1, 0) > 0 && (fuse.revents & POLLIN);
	if (!waiting || answered != w->answered)
		w->since = 0;
	else if (w->since == 0)
		w->since = now;
	w->answered = answered;
	int64_t oldest = oldest_request(w, shared, shared_fd, now);
	int64_t waited = w->since ? now - w->since : 0;
	return waited > oldest ? waited : oldest;
}
