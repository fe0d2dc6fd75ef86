/*
 * The control socket of a mount (SEQPACKET, JSON). "status" is answered from shared
 * memory, so also while the worker hangs; everything else is passed on to the worker's
 * own socket, in a process of its own. One thread.
 */
#pragma once

#include "fusefs/supervise/supervisor.h"

/* Binds; an old socket of that name is replaced. A descriptor, or a negative errno. */
int answer_listen(const char *path);
/* A connection to the socket at `path` with `suffix`, or a negative errno. */
int answer_connect(const char *path, const char *suffix, int seconds);
/* Takes one connection and answers it. */
void answer_one(struct supervisor *s);
