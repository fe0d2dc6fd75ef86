/*
 * What a plan shows: its layers opened and united. Immutable after view_open(): any
 * thread.
 */
#pragma once

#include "cache/store/cache.h"
#include "fusefs/serve/plan.h"

struct tree;
struct view;

/*
 * `cache` and `plan` are borrowed for the life of the view. -ENOENT: a wheel is not in
 * the cache any more; -EBADMSG: an image is damaged or is another one than it was.
 */
int view_open(int state_fd, const struct plan *plan, struct cache *cache,
	      struct view **ret, struct error *reterr);
/* The same of a skeleton that is in no state directory (-1: there is none). */
int view_open_pack(int take_pack_fd, const struct plan *plan, struct cache *cache,
		   struct view **ret, struct error *reterr);
void view_free(struct view *view);
DEFINE_CLEANUP(struct view *, view_free);

struct tree *view_tree(struct view *view);
