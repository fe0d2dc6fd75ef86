#include "cache/base/file.h"
#include "cli/behalf.h"
#include "cli/clashes.h"
#include "cli/commands.h"
#include "cli/exec_mount.h"
#include "cli/exec_place.h"
#include "cli/gather.h"
#include "cli/mount_plan.h"
#include "cli/mount_upper.h"
#include "cli/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As shells and env(1) have them. */
enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

struct exec_options {
	struct gather_options gather;
	const char *user;
	bool read_only;
};

#define OFFSET(field) offsetof(struct exec_options, field)
#define GATHER_OFFSET(field) offsetof(struct exec_options, gather.field)

static const struct option_spec exec_options[] = {
	GATHER_OPTION_SPECS,
	{ "layer", 0, OPTION_LIST, GATHER_OFFSET(layers), "FOLDER",
	  "a plain folder to show below the wheels; may be repeated" },
	{ "read-only", 0, OPTION_FLAG, OFFSET(read_only), NULL,
	  "nothing can be changed" },
	BEHALF_OPTION(struct exec_options),
	{ .name = NULL },
};

/* All that is in hand while the environment is being made. */
struct executing {
	const struct exec_options *options;
	struct gathered g;
	struct exec_place place;
	struct plan plan;
	char *upper;
};

static void executing_release(struct executing *e)
{
	for (size_t i = 0; i < e->plan.count; i++)
		e->plan.layers[i].open = NULL; /* they were borrowed */
	plan_release(&e->plan);
	gathered_release(&e->g);
	exec_place_release(&e->place);
	free(e->upper);
}

static int make_plan(struct executing *e, struct error *reterr)
{
	const struct upper_request upper = { .read_only = e->options->read_only,
					     .ephemeral = !e->options->read_only };
	bool is_new;
	struct plan nothing; /* in an upper that is made now */
	int r = mount_upper_path(e->place.state, &upper, &e->upper, reterr);
	struct plan_request request = { .mount_path = e->place.path,
					.interpreter = e->g.interpreter,
					.wheels = e->g.env_wheels,
					.count = e->g.count,
					.folders = e->g.folders.added,
					.folder_count = e->g.folders.count,
					.upper = e->upper,
					.ephemeral = upper.ephemeral,
					.cache = e->g.cache };
	if (r == 0)
		r = mount_plan_make(e->place.state, &request, &e->plan, &is_new, reterr);
	e->plan.throwaway = true;
	const struct carry carry = { .plan = &e->plan };
	if (r == 0)
		r = mount_upper_prepare(&carry, &upper, &nothing, reterr);
	if (r == 0)
		r = mount_plan_write(e->place.state, &request, &e->plan, reterr);
	if (r == 0)
		r = clashes_report(e->place.state, &e->plan, e->g.cache,
				   e->options->gather.strict, reterr);
	return r;
}

/*
 * No signal between the first file that is made and the server, who removes them all; the
 * command gets what came meanwhile.
 */
static int make_environment(struct executing *e, struct error *reterr)
{
	sigset_t signals;
	sigset_t before;
	bool private = false;
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &signals, &before);
	int r = exec_place_make(&e->place, reterr);
	if (r == 0)
		r = make_plan(e, reterr);
	if (r == 0)
		r = exec_mount(&e->place, &e->plan, &private, reterr);
	if (r < 0)
		exec_place_remove(&e->place);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (r == 0 && e->options->gather.verbose)
		say_note("%s, seen by %s", e->plan.path,
			 private ? "the command only" : "all until it ends");
	return r;
}

/* As after activation. */
static int set_environment(const char *venv)
{
	const char *path = getenv("PATH");
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = buffer_printf(&text, "%s/bin%s%s", venv, path && *path ? ":" : "",
			      path ? path : "");
	const char *extended = r == 0 ? buffer_cstr(&text) : NULL;
	if (!extended)
		return -ENOMEM;
	return setenv("VIRTUAL_ENV", venv, 1) < 0 || setenv("PATH", extended, 1) < 0 ||
		       unsetenv("PYTHONHOME") < 0
		   ? -errno
		   : 0;
}

static int become_command(struct executing *e, char **command)
{
	int r = set_environment(e->plan.path);
	if (r < 0)
		return say_failed("%s", strerror(-r));
	(void)finish_output(0);
	(void)execvp(command[0], command);
	r = errno;
	(void)say_failed("cannot run '%s': %s", command[0], strerror(r));
	return r == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

static int execute(struct executing *e, char **wheels, size_t count, char **command)
{
	struct error err = ERROR_INIT;
	const struct gather_request request = { .who = "exec",
						.options = &e->options->gather,
						.wheels = wheels,
						.count = count };
	int status = gather(&request, &e->g);
	if (status != 0)
		return status;
	int r = make_environment(e, &err);
	return r < 0 ? say_error(&err, r) : become_command(e, command);
}

/* What stands before "--" is ours, and what follows the command's. */
static int find_command(int argc, char **argv)
{
	int i = 1;
	while (i < argc && strcmp(argv[i], "--") != 0)
		i++;
	return i;
}

static int run_exec(const struct command *command, int argc, char **argv)
{
	struct exec_options o = { .user = NULL };
	CLEANUP(executing_release)
	struct executing e = { .options = &o, .place = EXEC_PLACE_INIT };
	int first;
	int ours = find_command(argc, argv);
	int status = options_parse(command, ours, argv, &o, &first);
	if (status < 0 && ours + 1 >= argc)
		status = options_wrong_usage(command, "which command? (-- COMMAND)");
	else if (status < 0 && (status = behalf_become(o.user)) == 0)
		status =
		    execute(&e, argv + first, (size_t)(ours - first), argv + ours + 1);
	gather_options_release(&o.gather);
	return status;
}

const struct command command_exec = {
	"exec",
	"[WHEEL...] [--lock FILE|-r FILE] -- COMMAND",
	"run a command in a virtual environment that is gone afterwards",
	"Makes a virtual environment of wheel files for one command, and runs it there as\n"
	"after activation. Its exit status, signals and terminal are those of the command.\n"
	"Where a mount namespace can be had nobody else sees the environment.",
	exec_options,
	run_exec,
	NULL
};
