/*
 * A mounted environment written out as plain files: all that it shows, what was changed
 * in it as well. Scripts, and the rows of RECORD for them, name the new path.
 */
#pragma once

#include "cache/base/error.h"
#include "fusefs/serve/plan.h"

/* The plan of the venvfs mount at `dir`. -EINVAL: nothing of ours is mounted there. */
int export_mounted_plan(const char *dir, struct plan *ret, struct error *reterr);
/*
 * Writes what is mounted at plan->path into the empty directory `dest`, which will be at
 * `path`. Read through the mount, so each byte is checked by its server. -EINTR as
 * export_tree().
 */
int export_mounted(const struct plan *plan, int dest, const char *path,
		   struct error *reterr);
