#include "cache/base/file.h"
#include "cache/base/utf8.h"
#include "cli/behalf.h"
#include "cli/clashes.h"
#include "cli/commands.h"
#include "cli/environment_dir.h"
#include "cli/export_mounted.h"
#include "cli/export_stage.h"
#include "cli/export_tree.h"
#include "cli/export_work.h"
#include "cli/gather.h"
#include "cli/mount_plan.h"
#include "cli/output.h"
#include "fusefs/serve/view.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct export_options {
	struct gather_options gather; /* without folders */
	const char *link_mode, *from, *user;
	bool clear;
};

#define OFFSET(field) offsetof(struct export_options, field)
#define GATHER_OFFSET(field) offsetof(struct export_options, gather.field)

static const struct option_spec export_options[] = {
	GATHER_OPTION_SPECS,
	{ "from", 0, OPTION_TEXT, OFFSET(from), "MOUNT",
	  "what is mounted there, with what was changed in it, in place of wheels" },
	{ "link-mode", 0, OPTION_TEXT, OFFSET(link_mode), "MODE",
	  "clone, hardlink or copy: how large files are taken from the cache" },
	{ "clear", 0, OPTION_FLAG, OFFSET(clear), NULL,
	  "take the place of what is at DIR" },
	BEHALF_OPTION(struct export_options),
	{ .name = NULL },
};

/* All that an export has in hand. */
struct exporting {
	const struct export_options *options;
	enum link_mode mode;
	char *path; /* canonical */
	struct gathered g;
	struct plan plan;
	struct view *view;
	struct export_stage stage;
	struct export_counts counts;
};

static void exporting_release(struct exporting *e)
{
	export_stage_release(&e->stage);
	view_free(e->view);
	plan_release(&e->plan);
	gathered_release(&e->g);
	free(e->path);
}

/* uv's words, and its variable; what it has beside them is not for a tree to keep. */
static int choose_mode(const struct command *command, const char *wanted,
		       enum link_mode *ret)
{
	static const struct {
		const char *name;
		enum link_mode mode;
	} modes[] = { { "clone", LINK_CLONE },
		      { "hardlink", LINK_HARDLINK },
		      { "copy", LINK_COPY } };
	const char *variable = getenv("UV_LINK_MODE");
	const char *name = wanted ? wanted : variable;
	*ret = LINK_CLONE;
	for (size_t i = 0; name && i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(name, modes[i].name) != 0)
			continue;
		*ret = modes[i].mode;
		return 0;
	}
	if (!wanted)
		return 0;
	return options_wrong_usage(command, "--link-mode is clone, hardlink or copy%s",
				   strcmp(wanted, "symlink") == 0
				       ? "; with symlinks it would be gone with the cache"
				       : "");
}

/* The layers as a mount at that path would have them. */
static int open_view(struct exporting *e, struct error *reterr)
{
	struct plan_request request = { .mount_path = e->path,
					.interpreter = e->g.interpreter,
					.wheels = e->g.env_wheels,
					.count = e->g.count,
					.cache = e->g.cache };
	cleanup_fd int pack = memfd_create("venvfs-skeleton", MFD_CLOEXEC);
	if (pack < 0)
		return -errno;
	int r = mount_plan_layers(&request, pack, &e->plan, reterr);
	for (size_t i = 0; r == 0 && i < e->plan.count; i++)
		e->plan.layers[i].number = (uint32_t)i + 1;
	return r < 0 ? r
		     : view_open_pack(steal_fd(&pack), &e->plan, e->g.cache, &e->view,
				      reterr);
}

static int write_wheels(struct exporting *e, struct error *reterr)
{
	int r = open_view(e, reterr);
	if (r == 0)
		r = clashes_in(e->view, &e->plan, e->options->gather.strict, reterr);
	if (r < 0)
		return r;
	const struct export_request request = { .tree = view_tree(e->view),
						.dir = e->stage.dir,
						.path = e->path,
						.mode = e->mode };
	return export_tree(&request, &e->counts, reterr);
}

static void say_done(const struct exporting *e, const char *dir)
{
	if (e->options->gather.verbose && !e->options->from)
		say_note("large files: %llu cloned, %llu linked, %llu copied",
			 (unsigned long long)e->counts.cloned,
			 (unsigned long long)e->counts.linked,
			 (unsigned long long)e->counts.copied);
	if (!e->options->gather.verbose && isatty(STDERR_FILENO) != 1)
		return;
	if (*e->plan.python_version)
		(void)fprintf(stderr,
			      "Exported %zu wheel%s to %s (Python %s)\n"
			      "Activate with: source %s/bin/activate\n",
			      plan_wheels(&e->plan),
			      plan_wheels(&e->plan) == 1 ? "" : "s", dir,
			      e->plan.python_version, dir);
	else
		(void)fprintf(stderr, "Exported %s to %s\n", e->options->from, dir);
}

/*
 * Signals wait until what was begun is removed; then they end the program as they would
 * have.
 */
static int export_to(struct exporting *e, struct error *reterr)
{
	sigset_t signals;
	sigset_t before;
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &signals, &before);
	int r = export_stage_begin(e->path, e->options->clear, &e->stage, reterr);
	mode_t mask = umask(0); /* modes are those of a mount, whatever the umask */
	if (r == 0 && e->options->from)
		r = export_mounted(&e->plan, e->stage.dir, e->path, reterr);
	else if (r == 0)
		r = write_wheels(e, reterr);
	(void)umask(mask);
	if (r == 0 && export_is_interrupted())
		r = -EINTR;
	if (r == 0)
		r = export_stage_commit(&e->stage, reterr);
	export_stage_release(&e->stage);
	if (r == -EINTR)
		(void)say_failed("interrupted: '%s' is as it was", e->path);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}

static int check_path(const char *dir, char **ret_path, struct error *reterr)
{
	int r = path_canonical(dir, ret_path, reterr);
	if (r < 0 || utf8_is_valid(*ret_path, strlen(*ret_path)))
		return r;
	return error_set(reterr, -EILSEQ,
			 "cannot export to '%s': its path is not UTF-8, which Python and "
			 "scripts could not name; choose another",
			 *ret_path);
}

static int gather_wheels(struct exporting *e, char **wheels, size_t count)
{
	const struct gather_request request = { .who = "export",
						.options = &e->options->gather,
						.wheels = wheels,
						.count = count };
	return gather(&request, &e->g);
}

static int find_mount(struct exporting *e)
{
	struct error err = ERROR_INIT;
	int r = export_mounted_plan(e->options->from, &e->plan, &err);
	size_t size = r == 0 ? strlen(e->plan.path) : 0;
	if (r == 0 && strncmp(e->path, e->plan.path, size) == 0 && e->path[size] == '/')
		r = error_set(&err, -EINVAL, "'%s' is in the mount; export elsewhere",
			      e->path);
	return r < 0 ? say_error(&err, r) : 0;
}

/* What is meant by these operands and options together; 0, or an exit status. */
static int check_operands(const struct command *command, const struct export_options *o,
			  size_t wheels)
{
	const struct gather_options *g = &o->gather;
	if (!o->from)
		return 0;
	if (wheels > 0 || lock_args_apply(&g->locks, 1, false) || g->seed || g->python ||
	    o->link_mode || g->strict || g->lenient)
		return options_wrong_usage(command,
					   "--from takes no wheels, no lock, and none of "
					   "--python, --seed, --link-mode, --strict and "
					   "--lenient-record");
	return 0;
}

static int export_operands(const struct command *command, struct exporting *e,
			   char **operands, size_t count)
{
	struct error err = ERROR_INIT;
	cleanup_free char *usual = NULL;
	const char *dir = NULL;
	if (count > 0 && !is_wheel_operand(operands[0])) {
		dir = *operands++;
		count--;
	}
	int status = check_operands(command, e->options, count);
	if (status != 0)
		return status;
	int r = dir ? 0 : environment_dir(&usual);
	if (!dir)
		dir = usual;
	if (r == 0)
		r = check_path(dir, &e->path, &err);
	if (r < 0)
		return say_error(&err, r);
	status = e->options->from ? find_mount(e) : gather_wheels(e, operands, count);
	if (status != 0)
		return status;
	r = export_to(e, &err);
	if (r < 0 && r != -EINTR)
		return say_error(&err, r);
	if (r == 0)
		say_done(e, dir);
	return r < 0;
}

static int run_export(const struct command *command, int argc, char **argv)
{
	struct export_options o = { .user = NULL };
	CLEANUP(exporting_release)
	struct exporting e = { .options = &o, .stage = EXPORT_STAGE_INIT };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0) {
		gather_options_release(&o.gather);
		return status;
	}
	status = behalf_become(o.user);
	if (status == 0)
		status = choose_mode(command, o.link_mode, &e.mode);
	if (status == 0)
		status =
		    export_operands(command, &e, argv + first, (size_t)(argc - first));
	gather_options_release(&o.gather);
	return status;
}

const struct command command_export = {
	"export",
	"[DIR] [WHEEL...|--from MOUNT]",
	"write a plain virtual environment, without a mount",
	"Writes a virtual environment of wheel files to DIR, as plain files: what a mount\n"
	"there would show; or what is mounted elsewhere. It is made beside DIR and put in its place at the end. Without\n"
	"DIR: $UV_PROJECT_ENVIRONMENT, else .venv, of the project.",
	export_options,
	run_export,
	NULL
};
