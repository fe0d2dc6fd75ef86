/*
 * The control socket of a mount (SEQPACKET, JSON). "status" is answered from shared
 * memory, so also while the worker hangs; everything else is passed on to the worker's
 * own socket, in a process of its own. One thread.
 */
#pragma once

#include "fusefs/supervise/shared.h"

/* Binds; an old socket of that name is replaced. A descriptor, or a negative errno. */
int answer_listen(const char *path);
/* Takes one connection and answers it. `path` is the socket's. */
void answer_one(int listener, const char *path, struct shared *shared);
