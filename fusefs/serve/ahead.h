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
	struct plan told;      /* path, socket and upper of the plan that will be */
	struct image **images; /* own */
	size_t count;
	bool has_limited; /* by reach_limit() */
};

/*
 * Writes what is known before there is a plan: its path, socket and upper, and the images
 * of wheels and folders in the order of layers. What does not fit into the pipe is left
 * out, and opened later.
 */
void ahead_tell(int gate, const struct plan *told, const struct digest *images,
		size_t count);

/*
 * When it is told what will be served, takes a lease in the mount's name, limits what the
 * process reaches (reach.h) and opens the images. Returns when the gate is closed.
 * -ECANCELED: nothing was mounted. An image that cannot be opened is left to whoever
 * needs it.
 */
int ahead_wait(int gate, int fuse, struct cache *cache, const char *state_path,
	       struct ahead *ret, struct lease **ret_lease, struct error *reterr);
/*
 * Layers of the plan borrow the images that are theirs. -EPROTO: the process was limited
 * to what another plan needs.
 */
int ahead_lend(const struct ahead *ahead, struct plan *plan, struct error *reterr);
void ahead_release(struct ahead *ahead);
