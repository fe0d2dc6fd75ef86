/*
 * A mount that lives as long as this process, whatever program it becomes. One thread,
 * and no other thread in the process.
 */
#pragma once

#include "cache/base/error.h"
#include "cli/exec_place.h"
#include "fusefs/serve/plan.h"

/*
 * Mounts and starts a server. Where it may, the process goes into a mount namespace of
 * its own before, and the mount is seen by it and its descendants only; else everybody
 * sees it until the process ends. *ret_private tells which. On an error nothing is left
 * mounted.
 */
int exec_mount(const struct exec_place *place, const struct plan *plan, bool *ret_private,
	       struct error *reterr);
