#include "cache/base/file.h"
#include "cache/base/utf8.h"
#include "cli/behalf.h"
#include "cli/clashes.h"
#include "cli/commands.h"
#include "cli/environment_dir.h"
#include "cli/gather.h"
#include "cli/interrupt.h"
#include "cli/made.h"
#include "cli/meet.h"
#include "cli/mount_plan.h"
#include "cli/mount_point.h"
#include "cli/mount_serve.h"
#include "cli/mount_upper.h"
#include "cli/output.h"
#include "fusefs/serve/broker.h"
#include "fusefs/serve/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOCK_MILLISECONDS = 10000 };

struct mount_options {
	struct gather_options gather;
	const char *user, *upper;
	struct text_list options;
	bool foreground, over, keep_owner, read_only, ephemeral, fresh;
};

#define OFFSET(field) offsetof(struct mount_options, field)
#define GATHER_OFFSET(field) offsetof(struct mount_options, gather.field)

static const struct option_spec mount_options[] = {
	GATHER_OPTION_SPECS,
	{ "foreground", 'f', OPTION_FLAG, OFFSET(foreground), NULL,
	  "return when it was unmounted; Ctrl-C unmounts" },
	{ "over", 0, OPTION_FLAG, OFFSET(over), NULL,
	  "mount over a directory that is not empty" },
	{ "layer", 0, OPTION_LIST, GATHER_OFFSET(layers), "FOLDER",
	  "a plain folder to show below the wheels, or without any; may be repeated" },
	{ "keep-owner", 0, OPTION_FLAG, OFFSET(keep_owner), NULL,
	  "files of folders belong to whom they did; only for root" },
	{ "upper", 0, OPTION_TEXT, OFFSET(upper), "DIR2",
	  "keep what is changed in DIR2, not in the state directory" },
	{ "read-only", 0, OPTION_FLAG, OFFSET(read_only), NULL,
	  "nothing can be changed" },
	{ "ephemeral", 0, OPTION_FLAG, OFFSET(ephemeral), NULL,
	  "what is changed is dropped at unmount" },
	{ "fresh", 0, OPTION_FLAG, OFFSET(fresh), NULL,
	  "drop what was changed in earlier mounts" },
	{ "option", 'o', OPTION_LIST, OFFSET(options), "OPTION[,...]",
	  "mount options: allow_other, noexec, fsname=NAME, ..." },
	BEHALF_OPTION(struct mount_options),
	{ .name = NULL },
};

/* All that a mount has in hand while it is being made. */
struct mounting {
	const struct mount_options *options;
	struct device_words words;
	char *path;  /* canonical */
	char *upper; /* "": read-only */
	struct gathered g;
	struct state *state;
	int lock, upper_lock;
	char *socket; /* where the control socket will be */
	struct serve_ahead ahead;
	struct plan plan;
	bool is_new;    /* other layers than were mounted there last */
	bool is_before; /* the plan of before, as changes conflict with the new one */
	struct mount_point point;
	struct broker broker;
	const struct broker *device_broker; /* to it, or NULL */
};

static void mounting_close_images(struct mounting *m)
{
	for (size_t i = 0; i < m->plan.count; i++)
		m->plan.layers[i].open = NULL; /* they were borrowed */
	if (m->options->foreground)
		gathered_close_images(&m->g);
	else
		gathered_abandon_images(&m->g);
}

static void mounting_release(struct mounting *m)
{
	serve_ahead_release(&m->ahead);
	mount_point_release(&m->point);
	plan_release(&m->plan);
	cleanup_close_fn(&m->upper_lock);
	cleanup_close_fn(&m->lock);
	state_free(m->state);
	gathered_release(&m->g);
	free(m->socket);
	free(m->upper);
	free(m->path);
	device_words_release(&m->words);
}

static int join_options(struct mounting *m, struct error *err)
{
	cleanup_buffer struct buffer all = BUFFER_INIT;
	int r = 0;
	for (size_t i = 0; r == 0 && i < m->options->options.count; i++)
		r = buffer_printf(&all, "%s%s", i ? "," : "",
				  m->options->options.items[i]);
	const char *text = r == 0 ? buffer_cstr(&all) : NULL;
	return text ? device_check_options(text, &m->words, err) : -ENOMEM;
}

static int gather_for(struct mounting *m, char **wheels, size_t count)
{
	const struct gather_request request = { .who = "mount",
						.options = &m->options->gather,
						.wheels = wheels,
						.count = count };
	return gather(&request, &m->g);
}

/* What whoever holds the lock does so for. */
static enum met_state meet_holder(const struct state *state)
{
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	struct met met;
	if (plan_read(state_fd(state), &plan) < 0)
		return MET_DEAD;
	meet(state, &plan, &met);
	met_release(&met);
	return met.state;
}

/* As after umount -l. */
static int refuse_unseen(const struct mounting *m, struct error *err)
{
	return error_set(
	    err, -EBUSY,
	    "'%s' was mounted and is not to be seen here, but somebody "
	    "still has it: in another mount namespace (a container, "
	    "unshare), or since before it was unmounted lazily; it ends with "
	    "the last of them",
	    m->path);
}

/* From here on no other venvfs of this user works on this mount point. */
static int take_lock(struct mounting *m, struct error *err)
{
	char type[64];
	int r = state_open(m->path, true, &m->state, err);
	if (r < 0)
		return r;
	m->lock = state_lock(m->state, 0);
	if (m->lock == -EAGAIN && device_look(m->path, type) == MOUNTED_VENVFS &&
	    meet_holder(m->state) != MET_DEAD) /* nor just about to die with it */
		return error_set(err, -EBUSY,
				 "'%s' is mounted already (venvfs unmount '%s')", m->path,
				 m->path);
	if (m->lock == -EAGAIN)
		m->lock = state_lock(m->state, LOCK_MILLISECONDS);
	if (m->lock == -EAGAIN)
		return meet_holder(m->state) == MET_ELSEWHERE
			   ? refuse_unseen(m, err)
			   : error_set(err, -EBUSY, "another venvfs is working on '%s'",
				       m->path);
	if (m->lock < 0)
		return error_errno(err, m->lock, "cannot lock '%s'",
				   state_path(m->state));
	state_sweep(m->state);
	return mount_point_clear(m->state, m->path, m->device_broker, err);
}

/* What the server needs must not lie under the mount. */
static int check_outside(const struct mounting *m, struct error *err)
{
	const struct {
		const char *what, *path;
	} needed[] = { { "the cache", store_path(cache_own(m->g.cache)) },
		       { "the state directory", state_path(m->state) },
		       { "--upper", m->upper } };
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(needed) / sizeof(*needed); i++) {
		if (*needed[i].path)
			r = mount_upper_check_outside(needed[i].path, needed[i].what,
						      m->point.fd, m->path, err);
	}
	return r;
}

/* Changes over other packages decide what is mounted. */
static int prepare_upper(struct mounting *m, const struct upper_request *upper,
			 const struct plan_request *request, struct error *err)
{
	struct plan before;
	cleanup_fd int layers = mount_plan_open_layers(m->state, request);
	const struct carry carry = { .state = m->state,
				     .cache = m->g.cache,
				     .plan = &m->plan,
				     .layers_fd = layers,
				     .verbose = m->options->gather.verbose };
	if (layers < 0)
		return error_errno(err, layers, "cannot open '%s'", state_path(m->state));
	mount_upper_drop_ephemeral(m->state);
	int r = mount_upper_prepare(&carry, upper, &before, err);
	if (r != 1)
		return r;
	plan_release(&m->plan);
	m->plan = before;
	m->is_before = true;
	m->is_new = false;
	return mount_plan_again(m->state, request, &m->plan, err);
}

static int make_plan(struct mounting *m, const struct upper_request *upper,
		     struct error *err)
{
	struct plan_request request = { .mount_path = m->path,
					.interpreter = m->g.interpreter,
					.wheels = m->g.env_wheels,
					.count = m->g.count,
					.folders = m->g.folders.added,
					.folder_count = m->g.folders.count,
					.keep_owner = m->options->keep_owner,
					.upper = m->upper,
					.own_upper = *m->upper && upper->path,
					.ephemeral = upper->ephemeral,
					.cache = m->g.cache };
	int r = mount_plan_make(m->state, &request, &m->plan, &m->is_new, err);
	if (r == 0 && m->options->gather.strict)
		r = clashes_report(m->state, &m->plan, m->g.cache, true, err);
	if (r == 0)
		r = prepare_upper(m, upper, &request, err);
	return r < 0 ? r : mount_plan_write(m->state, &request, &m->plan, err);
}

static int prepare(struct mounting *m, const struct upper_request *upper,
		   struct error *err)
{
	int r = take_lock(m, err);
	if (r == 0)
		r = mount_upper_path(m->state, upper, &m->upper, err);
	if (r == 0)
		r = mount_point_open(m->path, m->options->over, &m->point, err);
	if (r == 0)
		r = check_outside(m, err);
	if (r == 0 && upper->path && *m->upper)
		r = m->upper_lock = mount_upper_hold(upper->path, m->path, err);
	return r < 0 ? r : mount_plan_socket(m->state, &m->socket, err);
}

/* What is there before the skeleton is, in the order of layers. */
static int start_ahead(struct mounting *m, const struct serve_request *request,
		       struct error *err)
{
	const struct gathered *g = &m->g;
	cleanup_free struct digest *images =
	    calloc(g->count + g->folders.count + 1, sizeof(*images));
	size_t count = 0;
	if (!images)
		return -ENOMEM;
	for (size_t i = g->count; i-- > 0;)
		images[count++] = g->env_wheels[i].image_id;
	for (size_t i = g->folders.count; i-- > 0;)
		images[count++] = g->folders.added[i].note.image;
	return serve_ahead_start(request, m->upper, images, count, &m->ahead, err);
}

/* What can be done while the server starts, so that nobody waits for it. */
static int report_and_tidy(void *context, struct error *err)
{
	struct mounting *m = context;
	int r = 0;
	if (m->is_new && !m->options->gather.strict)
		r = clashes_report(m->state, &m->plan, m->g.cache, false, err);
	if (m->g.interpreter && !m->is_before)
		made_write(m->state, &m->plan, &m->g, &m->options->gather);
	mounting_close_images(m);
	return r;
}

static int mount_all(struct mounting *m, char **wheels, size_t count)
{
	struct error err = ERROR_INIT;
	int status = gather_for(m, wheels, count);
	if (status != 0)
		return status;
	const struct upper_request upper = { .path = m->options->upper,
					     .read_only = m->options->read_only ||
							  m->words.read_only,
					     .ephemeral = m->options->ephemeral,
					     .fresh = m->options->fresh };
	int r = prepare(m, &upper, &err);
	const struct serve_request request = {
		.state = m->state,
		.path = m->path,
		.socket_path = m->socket,
		.dirfd = m->point.fd,
		.lock = m->lock,
		.upper_lock = m->upper_lock,
		.foreground = m->options->foreground,
		.device = { .source = m->words.source ? m->words.source : "venvfs",
			    .options = m->words.options,
			    .read_only = !m->upper || !*m->upper,
			    .broker = m->device_broker },
		.meanwhile = report_and_tidy,
		.context = m,
	};
	int interrupted = 0;
	if (r == 0)
		r = start_ahead(m, &request, &err);
	if (r == 0)
		r = make_plan(m, &upper, &err);
	if (r == 0) {
		m->point.fd = -1; /* the request's now */
		r = mount_serve(&request, &m->ahead, &interrupted, &err);
	}
	if (r == 0)
		return 0;
	serve_ahead_release(&m->ahead);
	mount_point_undo(&m->point);
	status = say_error(&err, r);
	if (interrupted)
		interrupt_die(interrupted);
	return status;
}

static void say_done(const struct mounting *m, const char *dir)
{
	if (!m->options->gather.verbose && isatty(STDERR_FILENO) != 1)
		return;
	const char *plural = m->g.folders.count == 1 ? "" : "s";
	if (!m->g.interpreter) {
		(void)fprintf(stderr, "Mounted %zu folder%s at %s\n", m->g.folders.count,
			      plural, dir);
		return;
	}
	(void)fprintf(stderr, "Mounted %zu wheel%s", m->g.count,
		      m->g.count == 1 ? "" : "s");
	if (m->g.folders.count > 0)
		(void)fprintf(stderr, " over %zu folder%s", m->g.folders.count, plural);
	(void)fprintf(stderr,
		      " at %s (Python %s)\n"
		      "Activate with: source %s/bin/activate\n",
		      dir, m->plan.python_version, dir);
}

/* What is meant by these operands and options together; 0, or an exit status. */
static int check_operands(const struct command *command, const struct mount_options *o,
			  const char *dir, size_t wheels)
{
	const struct gather_options *g = &o->gather;
	bool only_folders = wheels == 0 && g->layers.count > 0 && !g->seed &&
			    !lock_args_apply(&g->locks, g->layers.count, false);
	if (only_folders && !dir)
		return options_wrong_usage(command, "where shall the folders appear?");
	if (only_folders && g->python)
		return options_wrong_usage(command, "--python is for wheels");
	if (o->ephemeral && (o->read_only || o->upper || o->fresh))
		return options_wrong_usage(command, "--ephemeral goes with none of "
						    "--read-only, --upper and --fresh");
	if (o->read_only && (o->upper || o->fresh))
		return options_wrong_usage(command,
					   "with --read-only nothing is changed, "
					   "so not --upper or --fresh either");
	if (o->keep_owner && g->layers.count == 0)
		return options_wrong_usage(command, "--keep-owner is for --layer");
	if (o->keep_owner && geteuid() != 0)
		return say_failed("--keep-owner is for root: whoever else serves files "
				  "must own them");
	return 0;
}

static int mount_operands(const struct command *command, struct mounting *m,
			  char **operands, size_t count)
{
	struct error err = ERROR_INIT;
	const char *dir = NULL;
	cleanup_free char *usual = NULL;
	if (count > 0 && !is_wheel_operand(operands[0])) {
		dir = *operands++;
		count--;
	}
	int status = check_operands(command, m->options, dir, count);
	if (status != 0)
		return status;
	int r = dir ? 0 : environment_dir(&usual);
	if (!dir)
		dir = usual;
	if (r == 0)
		r = join_options(m, &err);
	if (r == 0)
		r = path_canonical(dir, &m->path, &err);
	if (r == 0 && !utf8_is_valid(m->path, strlen(m->path)))
		r = error_set(&err, -EILSEQ,
			      "cannot mount at '%s': its path is not UTF-8, which Python "
			      "and scripts could not name; choose another",
			      m->path);
	if (r < 0)
		return say_error(&err, r);
	status = mount_all(m, operands, count);
	if (status == 0 && m->is_before)
		return 1;
	if (status == 0 && !m->options->foreground)
		say_done(m, dir);
	return status;
}

/* -1: go on, as whom the mount is for; else an exit status. */
static int become_user(struct mounting *m)
{
	struct error err = ERROR_INIT;
	CLEANUP(account_freep) struct account *account = NULL;
	int status = 0;
	int r = behalf_find(m->options->user, &account, &err);
	if (r == 0 && account)
		r = join_options(m, &err);
	if (r < 0)
		return say_error(&err, r);
	if (!account)
		return -1;
	const struct device_options terms = { .source = m->words.source ? m->words.source
									: "venvfs",
					      .options = m->words.options };
	r = broker_split(account, &terms, &m->broker, &status, &err);
	if (r < 0)
		return say_error(&err, r);
	/* They are checked again, now that they are somebody's who is not root. */
	device_words_release(&m->words);
	m->device_broker = &m->broker;
	return r > 0 ? status : -1;
}

static int run_mount(const struct command *command, int argc, char **argv)
{
	struct mount_options o = { .user = NULL };
	CLEANUP(mounting_release)
	struct mounting m = { .options = &o,
			      .lock = -1,
			      .upper_lock = -1,
			      .ahead = SERVE_AHEAD_NONE,
			      .point = { .fd = -1 } };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status < 0) {
		status = become_user(&m);
		if (status < 0)
			status = mount_operands(command, &m, argv + first,
						(size_t)(argc - first));
	}
	text_list_release(&o.options);
	gather_options_release(&o.gather);
	return status;
}

const struct command command_mount = {
	"mount",
	"[DIR] [WHEEL...] [--layer FOLDER]...",
	"make a virtual environment appear at DIR",
	"Makes a virtual environment appear at DIR, served from the cache: of wheel files, or\n"
	"of a lock file. Where neither wheels nor folders are named, that of the project:\n"
	"pylock.toml, uv.lock or requirements.txt. Wheels that are not there yet are added.\n"
	"Of two wheels with the same file the one named later wins. DIR is made when it is\n"
	"missing; without one it is $UV_PROJECT_ENVIRONMENT, else .venv, of the project.\n"
	"Plain folders (--layer) are read into the cache too and appear below the wheels;\n"
	"without a wheel there is nothing but what they hold.",
	mount_options,
	run_mount,
	NULL
};
