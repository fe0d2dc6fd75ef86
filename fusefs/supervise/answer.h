/*
 * The control socket of a mount (SEQPACKET, JSON). "status" is answered from shared
 * memory, so also while the worker hangs; everything else is passed on to the worker's
 * own socket, in a process of its own. One thread.
 */
#pragma once

#include "fusefs/supervise/supervisor.h"

/* Takes one connection and answers it. */
void answer_one(struct supervisor *s);
