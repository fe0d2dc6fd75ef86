#include "fusefs/serve/ahead.h"

#include "cache/base/file.h"
#include "cache/store/cache.h"
#include "cache/store/image.h"
#include "cache/store/lease.h"
#include "fusefs/serve/reach.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a pipe holds; three texts with their ends, and ids behind them. */
enum { MESSAGE_MOST = 64 << 10, TEXTS = 3 };

void ahead_tell(int gate, const struct plan *told, const struct digest *images,
		size_t count)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	const char *const texts[TEXTS] = { told->path, told->socket, told->upper };
	size_t most = (MESSAGE_MOST - TEXTS * PATH_MAX) / sizeof(*images);
	int r = 0;
	for (size_t i = 0; r == 0 && i < TEXTS; i++)
		r = buffer_append(&text, texts[i], strlen(texts[i]) + 1);
	for (size_t i = 0; r == 0 && i < count && i < most; i++)
		r = buffer_append(&text, &images[i], sizeof(*images));
	if (r == 0)
		(void)!write(gate, text.data, text.size);
}

static int open_images(const uint8_t *ids, size_t count, struct cache *cache,
		       struct ahead *ahead)
{
	ahead->images = calloc(count + 1, sizeof(struct image *));
	if (!ahead->images)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct digest id;
		memcpy(&id, ids + i * sizeof(id), sizeof(id));
		if (cache_open_image(cache, &id, &ahead->images[ahead->count], NULL) == 0)
			ahead->count++;
	}
	return 0;
}

static ssize_t read_some(int fd, void *bytes, size_t size)
{
	ssize_t n;
	while ((n = read(fd, bytes, size)) < 0 && errno == EINTR)
		;
	return n;
}

/* 1: they are there, and *p behind them; 0: they are not. */
static int take_texts(const uint8_t **p, const uint8_t *end, struct plan *ret)
{
	char **const texts[TEXTS] = { &ret->path, &ret->socket, &ret->upper };
	for (size_t i = 0; i < TEXTS; i++) {
		const uint8_t *zero = memchr(*p, '\0', (size_t)(end - *p));
		if (!zero)
			return 0;
		*texts[i] = strdup((const char *)*p);
		if (!*texts[i])
			return -ENOMEM;
		*p = zero + 1;
	}
	return 1;
}

/* All of it was written before this process was started. */
static int take_message(int gate, struct cache *cache, const char *state_path,
			struct ahead *ahead, struct lease **ret_lease,
			struct error *reterr)
{
	cleanup_free uint8_t *message = malloc(MESSAGE_MOST);
	if (!message)
		return -ENOMEM;
	ssize_t n = read_some(gate, message, MESSAGE_MOST);
	const uint8_t *p = message;
	const uint8_t *end = message + (n > 0 ? n : 0);
	int r = take_texts(&p, end, &ahead->told);
	if (r <= 0)
		return r;
	r = lease_take(cache_own(cache), ahead->told.path, ret_lease);
	if (r < 0)
		return error_errno(reterr, r, "cannot write to the cache '%s'",
				   store_path(cache_own(cache)));
	r = reach_limit(&ahead->told, cache, state_path, reterr);
	ahead->has_limited = r == 0;
	return r < 0 ? r
		     : open_images(p, (size_t)(end - p) / sizeof(struct digest), cache,
				   ahead);
}

/* Before it is mounted /dev/fuse says so by an error, as after. */
static bool is_mounted(int fuse)
{
	struct pollfd p = { .fd = fuse };
	return poll(&p, 1, 0) >= 0 && !(p.revents & POLLERR);
}

int ahead_wait(int gate, int fuse, struct cache *cache, const char *state_path,
	       struct ahead *ret, struct lease **ret_lease, struct error *reterr)
{
	char ignored[256];
	int r = take_message(gate, cache, state_path, ret, ret_lease, reterr);
	while (r == 0 && read_some(gate, ignored, sizeof(ignored)) > 0)
		;
	if (r == 0 && !is_mounted(fuse))
		r = error_set(reterr, -ECANCELED, "nothing was mounted");
	return r;
}

int ahead_lend(const struct ahead *ahead, struct plan *plan, struct error *reterr)
{
	const struct plan *told = &ahead->told;
	size_t next = 0;
	if (ahead->has_limited &&
	    (plan->throwaway || strcmp(plan->socket, told->socket) != 0 ||
	     strcmp(plan->upper, told->upper) != 0))
		return error_set(reterr, -EPROTO,
				 "another mount was made than was to be");
	for (size_t i = 0; i < plan->count && next < ahead->count; i++) {
		struct plan_layer *layer = &plan->layers[i];
		for (size_t at = next; !layer->packed && at < ahead->count; at++) {
			struct digest id = image_id(ahead->images[at]);
			if (!digest_equal(&id, &layer->image))
				continue;
			layer->open = ahead->images[at];
			next = at + 1;
			break;
		}
	}
	return 0;
}

void ahead_release(struct ahead *ahead)
{
	for (size_t i = 0; i < ahead->count; i++)
		image_free(ahead->images[i]);
	free(ahead->images);
	plan_release(&ahead->told);
	*ahead = (struct ahead){ .images = NULL };
}
