/*
 * From wheels and an interpreter to what a mount serves: the plan in its state directory,
 * taken over from the last mount when nothing that it depends on has changed. One thread,
 * under the state's lock.
 */
#pragma once

#include <stdbool.h>

#include "cache/env/environment.h"
#include "cache/store/cache.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

struct plan_request {
	const char *mount_path; /* canonical */
	const struct interpreter *interpreter;
	struct environment_wheel *wheels; /* image_id and path; images may be opened here,
					     and are the caller's to free */
	size_t count;
	struct cache *cache;
};

/*
 * Writes skeleton/pack, layers and mount.json as needed. *ret_new: it is not what was
 * mounted there last. The plan borrows what was opened.
 */
int mount_plan_make(const struct state *state, struct plan_request *request,
		    struct plan *ret, bool *ret_new, struct error *reterr);
