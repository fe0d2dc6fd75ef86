/*
 * What a worker does while its mount is still being made: it waits at the gate, a pipe
 * whose other end `venvfs mount` closes once it has mounted, and opens the images that it
 * is told of there meanwhile. One thread.
 */
#pragma once

#include "cache/base/error.h"
#include "fusefs/serve/plan.h"

struct cache;
struct lease;

struct ahead {
	struct image **images; /* own */
	size_t count;
};

/*
 * Writes what is known before there is a plan: the mount's path, and wheels and folders
 * in the order of layers. What does not fit into the pipe is left out, and opened later.
 */
void ahead_tell(int gate, const char *path, const struct digest *images, size_t count);

/*
 * Takes a lease in the mount's name, if it was told, opens what it was told, and returns
 * when the gate is closed. -ECANCELED: nothing was mounted. An image that cannot be
 * opened is left to whoever needs it.
 */
int ahead_wait(int gate, int fuse, struct cache *cache, struct ahead *ret,
	       struct lease **ret_lease, struct error *reterr);
/* Layers of the plan borrow the images that are theirs. */
void ahead_lend(const struct ahead *ahead, struct plan *plan);
void ahead_release(struct ahead *ahead);
