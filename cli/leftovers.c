#include "cli/leftovers.h"

#include "cache/base/file.h"
#include "cli/mount_upper.h"
#include "fusefs/serve/dead.h"
#include "fusefs/supervise/shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Only what has the name of the mount's id: the path in a plan is input. */
static void remove_socket(const struct state *state, const char *path, const char *suffix)
{
	char *whole = NULL;
	struct stat st;
	const char *slash = strrchr(path, '/');
	if (!slash || strcmp(slash + 1, state_id(state)) != 0 ||
	    asprintf(&whole, "%s%s", path, suffix) < 0)
		return;
	cleanup_free char *held = whole;
	if (lstat(whole, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(whole);
}

void leftovers_remove(const struct state *state)
{
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	if (plan_read(state_fd(state), &plan) < 0)
		return;
	remove_socket(state, plan.socket, "");
	remove_socket(state, plan.socket, ".worker");
	(void)unlinkat(state_fd(state), SOCKET_FILE, 0);
	(void)unlinkat(state_fd(state), SOCKET_FILE ".worker", 0);
	mount_upper_drop_ephemeral(state);
	dead_forget(state);
}

int leftovers_remove_mount(const struct state *state, const struct plan *plan,
			   const struct broker *broker, struct error *reterr)
{
	cleanup_fd int lock = state_lock(state, 0);
	int r = lock < 0 ? lock : dead_remove(state, plan->path, broker, reterr);
	if (r == 0)
		leftovers_remove(state);
	return r;
}
