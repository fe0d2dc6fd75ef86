/*
 * What a mount is made of, for people: which lock files, what was chosen of them, and
 * where each wheel came from. Kept in the mount's state beside its plan, as
 * made/<key of the plan>; the server has no need of it. Untrusted when read. One thread.
 */
#pragma once

#include "cache/base/json.h"
#include "cli/gather.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

/*
 * Writes what a plan that was just made is made of, and removes what is told of plans
 * that are no more. Quietly does nothing where it cannot be written: nothing depends on
 * it.
 */
void made_write(const struct state *state, const struct plan *plan,
		const struct gathered *g, const struct gather_options *options);

/*
 * What is known of a plan:
 *
 *   {"locks": [{"path", "kind", "state"}], "also_changed": [path...],
 *    "chosen": ["--extra x"...],
 *    "packages": [{"name", "version", "file", "sha256", "source", "origin"}]}
 *
 * `locks` and `chosen` are empty where wheels were named. `state` is "unchanged",
 * "changed", "missing", or "unknown" (it lies in the mount, or cannot be read);
 * `also_changed` has other files that were read with the locks. Packages are those of the
 * plan, by name; all but name and version may be "": that is not known. The caller's
 * reference; NULL without memory.
 */
json_t *made_describe(const struct state *state, const struct plan *plan);
/* "an index", of "index"; what is no known word stays. */
const char *made_source_text(const char *source);
