/* Telling people which wheels overwrite each other's files. One thread. */
#pragma once

#include <stdbool.h>

#include "cache/store/cache.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"
#include "fusefs/serve/view.h"

/* Says a line or a few; with `strict` it is -EEXIST with a text instead. */
int clashes_report(const struct state *state, const struct plan *plan,
		   struct cache *cache, bool strict, struct error *reterr);
/* The same of a view that is open. */
int clashes_in(struct view *view, const struct plan *plan, bool strict,
	       struct error *reterr);
