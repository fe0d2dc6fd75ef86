/*
 * Changes that were made over other packages than are to be mounted are carried over to
 * these, or stay with those. One thread, under the state's lock.
 */
#pragma once

#include <stdbool.h>

#include "cache/store/cache.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

struct carry {
	const struct state *state;
	struct cache *cache;
	struct plan *plan; /* to be mounted; its layers have their numbers */
	int layers_fd;     /* of the directory that holds `layers` */
	bool verbose;
};

/* What the upper at plan->upper holds. */
enum carry_state {
	CARRY_NOTHING, /* no changes */
	CARRY_FITS,    /* changes over this plan */
	CARRY_NEEDED,  /* changes over something else */
};
int carry_look(const struct plan *plan, enum carry_state *ret, struct error *reterr);
/*
 * 0; or 1 when both sides changed the same files: people were told which, nothing was
 * changed, and *ret_before is what the changes are over. -EEXIST: that is not known any
 * more; -ENOENT: a wheel of it is not in the cache any more.
 */
int carry_over(const struct carry *carry, struct plan *ret_before, struct error *reterr);
