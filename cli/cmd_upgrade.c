#include "cache/base/file.h"
#include "cli/behalf.h"
#include "cli/commands.h"
#include "cli/meet.h"
#include "cli/output.h"
#include "fusefs/serve/control.h"
#include "fusefs/serve/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UPGRADE_MILLISECONDS = 90000 };

struct upgrade_options {
	const char *user;
	const char *program;
	bool all;
};

static const struct option_spec upgrade_options[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct upgrade_options, all), NULL,
	  "every mount of this user" },
	{ "program", 0, OPTION_TEXT, offsetof(struct upgrade_options, program), "VENVFS",
	  "to that one and the venvfs-supervise beside it, not to this one" },
	BEHALF_OPTION(struct upgrade_options),
	{ .name = NULL },
};

struct upgrading {
	int programs[2]; /* venvfs, venvfs-supervise */
	int status;
};

static int refuse(const char *path, const char *why)
{
	return say_failed("cannot upgrade '%s', its old version serves on: %s", path,
			  why);
}

/* The answer comes when the new version serves, or when it will not. */
static int trade(const struct upgrading *u, const struct state *state,
		 const struct plan *plan)
{
	const struct control_place place = meet_place(state, plan);
	int fds[DESCRIPTORS_MOST] = { u->programs[0], u->programs[1], -1, -1 };
	cleanup_json json_t *answer = NULL;
	cleanup_json json_t *request = json_pack("{s:s}", "verb", "upgrade");
	int r = request
		    ? control_trade(&place, request, UPGRADE_MILLISECONDS, fds, &answer)
		    : -ENOMEM;
	if (r < 0)
		return say_failed("cannot tell whether '%s' was upgraded (%s); venvfs "
				  "status '%s' tells how it does",
				  plan->path, strerror(-r), plan->path);
	descriptors_close(fds);
	const char *why = json_get_text(answer, "error");
	if (!why && !json_get_text(answer, "version"))
		why = "its supervisor does not know how";
	return why ? refuse(plan->path, why) : 0;
}

static int upgrade(const struct upgrading *u, const struct state *state,
		   const struct plan *plan)
{
	struct met met;
	meet(state, plan, &met);
	enum met_state found = met.state;
	met_release(&met);
	switch (found) {
	case MET_SERVING:
	case MET_HANGING:
	case MET_ELSEWHERE:
		return trade(u, state, plan);
	case MET_SILENT:
		return refuse(plan->path, "nobody answers for it");
	case MET_DEAD:
		return say_failed("nobody serves '%s' any more; mount it again",
				  plan->path);
	case MET_NOTHING:
		break;
	}
	return meet_say_none(plan->path);
}

static int upgrade_named(const struct upgrading *u, const char *dir)
{
	struct error err = ERROR_INIT;
	cleanup_free char *path = NULL;
	CLEANUP(state_freep) struct state *state = NULL;
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	int r = path_canonical(dir, &path, &err);
	if (r < 0)
		return say_error(&err, r);
	if (state_open(path, false, &state, NULL) < 0 ||
	    plan_read(state_fd(state), &plan) < 0 || !plan_is_of_this_boot(&plan))
		return meet_say_none(path);
	return upgrade(u, state, &plan);
}

static int upgrade_state(void *context, struct state *state)
{
	struct upgrading *u = context;
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	if (plan_read(state_fd(state), &plan) == 0 && plan_is_of_this_boot(&plan) &&
	    state_is_locked(state))
		u->status |= upgrade(u, state, &plan);
	return 0;
}

static int run_upgrade(const struct command *command, int argc, char **argv)
{
	struct upgrade_options o = { .all = false };
	struct upgrading u = { .programs = { -1, -1 } };
	struct error err = ERROR_INIT;
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (o.all != (first == argc))
		return options_wrong_usage(command, o.all ? "--all takes no directory"
							  : "which directory?");
	status = behalf_become(o.user);
	if (status != 0)
		return status;
	int r = launch_open_programs(o.program, u.programs, &err);
	if (r < 0)
		return say_error(&err, r);
	r = o.all ? state_each(upgrade_state, &u) : 0;
	if (r < 0)
		u.status = say_failed("cannot list the mounts: %s", strerror(-r));
	for (int i = first; i < argc; i++)
		u.status |= upgrade_named(&u, argv[i]);
	(void)close(u.programs[0]);
	(void)close(u.programs[1]);
	return u.status;
}

const struct command command_upgrade = {
	"upgrade",
	"DIR...|--all",
	"have running mounts served by this version",
	"Moves mounts that were made by another version of venvfs to this one, without\n"
	"unmounting: what runs in them notices nothing. Where this version fails to start,\n"
	"the old one serves on.",
	upgrade_options,
	run_upgrade,
	NULL
};
