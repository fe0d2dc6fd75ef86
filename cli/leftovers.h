/* What servers leave that were killed. One thread. */
#pragma once

#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

struct broker;

/* Removes the sockets of a mount that has ended, and what --ephemeral had. The state's
 * lock is held. */
void leftovers_remove(const struct state *state);

/*
 * The same with the mount itself, when nobody serves it. -EBUSY: somebody does, whose
 * state lies elsewhere; -EAGAIN: somebody works on it.
 */
int leftovers_remove_mount(const struct state *state, const struct plan *plan,
			   const struct broker *broker, struct error *reterr);
