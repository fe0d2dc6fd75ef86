/*
 * Mounts that nobody serves any more. Whoever calls holds the lock of the mount's state,
 * so that none is being made there. One thread.
 */
#pragma once

#include <sys/types.h>

#include "cache/base/error.h"

struct broker;
struct state;

/* Notes whose mount this state's is, so that no other is taken for it. */
void dead_note(const struct state *state, dev_t device);
void dead_forget(const struct state *state);

/*
 * Takes the mount at `path` away, which serves this user. Who waits for it gets
 * ECONNABORTED, who uses it later ENOTCONN, whatever holds it open: a helper that waits
 * in the kernel (supervise/notify.h) keeps the connection alive, and itself, until that
 * is aborted. -EBUSY: somebody serves it, whose state lies elsewhere.
 */
int dead_remove(const struct state *state, const char *path, const struct broker *broker,
		struct error *reterr);
