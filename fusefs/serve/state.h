/*
 * The state directory of a mount: $XDG_STATE_HOME/venvfs/mounts/<id>, where the id is the
 * XXH3-128 of the canonical mount path. Not in the cache, which people delete. It holds
 * mount.json (plan.h), layers (layers.h), skeleton/pack, log and lock. One thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"

struct state;

/* Of a mount path; made when missing and `create`, else -ENOENT. -EACCES: not one's own.
 */
int state_open(const char *mount_path, bool create, struct state **ret,
	       struct error *reterr);
/* Of the directory itself, as a server is told it. */
int state_open_directory(const char *path, struct state **ret, struct error *reterr);
void state_free(struct state *state);
DEFINE_CLEANUP(struct state *, state_free);

int state_fd(const struct state *state);
const char *state_path(const struct state *state);
const char *state_id(const struct state *state);

/*
 * The lock is held while a mount is made and as long as its server lives, so it tells
 * both who may mount and whether a server is there. Returns a descriptor that holds it,
 * to be inherited; -EAGAIN when it is still held after `milliseconds`.
 */
int state_lock(const struct state *state, int milliseconds);
/* Is a server there (or a mount being made)? */
bool state_is_locked(const struct state *state);

/* Removes what killed commands have left half-written in it (file_sweep_asides()). Its
 * lock must be held. */
void state_sweep(const struct state *state);
/* Removes the directory and all in it; what is open stays usable. */
int state_remove(const struct state *state);

/* Calls `visit` for each state directory of this user, in no order, until it returns
 * something else than 0. */
typedef int state_visit(void *context, struct state *state);
int state_each(state_visit *visit, void *context);

/* A folder of that name beside those of mounts, made when missing; the caller frees it.
 */
int state_make_folder(const char *name, char **ret_path, struct error *reterr);

/*
 * The directory of control sockets: $XDG_RUNTIME_DIR/venvfs, else /run/user/UID/venvfs,
 * else (root) /run/venvfs, else run/ in the state home. Made when missing; refused unless
 * it is 0700 and one's own. The caller frees it.
 */
int state_socket_directory(char **ret_path, struct error *reterr);
