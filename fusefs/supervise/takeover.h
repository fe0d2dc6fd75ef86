/*
 * A supervisor that follows one that has died: the worker, which serves on, hands over
 * what the mount lives by. One thread.
 */
#pragma once

#include "fusefs/supervise/supervisor.h"

/*
 * Asks the worker that listens beside s->socket_path. 0: /dev/fuse, the lock and the
 * shared memory are at their numbers, the worker is adopted, and what says in its
 * environment where things lie is in ours, as those who follow it must find what it
 * found. Else a negative errno, and *ret_why.
 */
int takeover(struct supervisor *s, const char **ret_why);

/* Maps the head of what is at SHARED_FD. -EPROTO: another version's. */
int takeover_map(struct supervisor *s);
