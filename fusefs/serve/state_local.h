/*
 * Where what is changed goes when the state directory lies on a disk that other machines
 * write, too (cache/base/remote.h): /var/tmp/venvfs-UID/<id>. Not /tmp, which a boot
 * empties. One thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/error.h"
#include "fusefs/serve/state.h"

bool state_is_remote(const struct state *state);
/* May there be such a directory? It may be another's. */
bool state_has_local(const struct state *state);
/*
 * Made when missing, 0700; -EACCES when it is not this user's alone. The caller frees the
 * path.
 */
int state_local_directory(const struct state *state, char **ret_path,
			  struct error *reterr);
