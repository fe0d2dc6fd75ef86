/*
 * Where a mount keeps what is changed in it, and whether that fits to what is mounted.
 * One thread, under the state's lock.
 */
#pragma once

#include <stdbool.h>

#include "cli/mount_carry.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

struct upper_request {
	const char
	    *path; /* --upper, or NULL: in the state directory, or by state_local.h */
	bool read_only, ephemeral;
	bool fresh; /* what was changed is dropped */
};

/* The directory, absolute; "" when there is none. The caller frees it. */
int mount_upper_path(const struct state *state, const struct upper_request *request,
		     char **ret_path, struct error *reterr);
/*
 * Drops what an --ephemeral mount has left that did not come to its end: its server was
 * given up, or all was killed. The state's lock is held.
 */
void mount_upper_drop_ephemeral(const struct state *state);
/*
 * Makes the directory that --upper named, which nobody else may be able to replace, and
 * has it for the life of the mount: before anything in it is looked at, upper_hold().
 */
int mount_upper_hold(const char *given, const char *mount_path, struct error *reterr);
/*
 * Makes the directory at plan->upper ready for the plan; changes over another one are
 * carried over, and what is returned is what carry_over() says.
 */
int mount_upper_prepare(const struct carry *carry, const struct upper_request *request,
			struct plan *ret_before, struct error *reterr);
/*
 * -EINVAL when `path` lies in the directory that dirfd is of, by whatever name: a server
 * that needs it would wait for itself. `what` tells people what it is.
 */
int mount_upper_check_outside(const char *path, const char *what, int dirfd,
			      const char *mount_path, struct error *reterr);
