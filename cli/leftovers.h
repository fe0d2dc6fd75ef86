/* What servers leave that were killed. One thread. */
#pragma once

#include "fusefs/serve/state.h"

/* Removes the sockets of a mount that has ended. The state's lock is held. */
void leftovers_remove(const struct state *state);
