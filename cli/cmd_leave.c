/*
 * What a supervisor runs when it is told to end a mount: unmounting needs rights, or a
 * set-uid program, that the confined worker cannot have, and reading mount.json is
 * nothing for the supervisor.
 */
#include "cli/commands.h"
#include "cli/output.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

static int run_leave(const struct command *command, int argc, char **argv)
{
	enum { STATE = 1, ARGUMENTS };
	char type[64];
	struct error err = ERROR_INIT;
	CLEANUP(state_freep) struct state *state = NULL;
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	if (argc != ARGUMENTS)
		return options_wrong_usage(command, "this is for venvfs-supervise only");
	int r = state_open_directory(argv[STATE], &state, &err);
	if (r == 0)
		r = plan_read(state_fd(state), &plan);
	if (r == 0 && device_look(plan.path, type) == MOUNTED_VENVFS)
		r = device_unmount(plan.path, true, NULL, &err);
	return r < 0 ? say_error(&err, r) : 0;
}

const struct command command_leave = {
	"leave-mount",
	"STATE_DIRECTORY",
	"",
	"Internal: takes a mount out of sight; it ends with its last user.",
	NULL,
	run_leave,
	NULL
};
