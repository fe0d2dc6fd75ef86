#include "cache/base/file.h"
#include "cli/behalf.h"
#include "cli/commands.h"
#include "cli/environment_dir.h"
#include "cli/leftovers.h"
#include "cli/output.h"
#include "fusefs/serve/broker.h"
#include "fusefs/serve/dead.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/holders.h"
#include "fusefs/serve/mounts.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	WAIT_MILLISECONDS = 10000,
	DYING_MILLISECONDS = 300,
	PASSING_MILLISECONDS = 500,
	HOLDERS_MOST = 8
};

struct unmount_options {
	const char *user;
	bool all;
};

static const struct option_spec unmount_options[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct unmount_options, all), NULL,
	  "every mount of this user" },
	BEHALF_OPTION(struct unmount_options),
	{ .name = NULL },
};

struct holders {
	struct buffer text;
	size_t count;
};

static int add_holder(void *context, pid_t pid, const char *name, const char *how)
{
	struct holders *h = context;
	if (h->count++ >= HOLDERS_MOST)
		return 0;
	return buffer_printf(&h->text, "%s%s (%d, %s)", h->count > 1 ? ", " : "", name,
			     (int)pid, how);
}

static int say_busy(const char *path)
{
	struct holders h = { .text = BUFFER_INIT };
	int r = holders_find(path, add_holder, &h);
	const char *text = r == 0 ? buffer_cstr(&h.text) : NULL;
	int status;
	if (h.count == 0)
		status = say_failed("'%s' is in use, by processes that are not ours to "
				    "see",
				    path);
	else if (h.count > HOLDERS_MOST)
		status = say_failed("'%s' is in use by %s and %zu more; end them first",
				    path, text ? text : "?", h.count - HOLDERS_MOST);
	else
		status = say_failed("'%s' is in use by %s; end %s first", path,
				    text ? text : "?", h.count == 1 ? "it" : "them");
	buffer_release(&h.text);
	return status;
}

static bool has_holders(const char *path)
{
	struct holders h = { .text = BUFFER_INIT };
	(void)holders_find(path, add_holder, &h);
	buffer_release(&h.text);
	return h.count > 0;
}

/*
 * Who looks through /proc, as we do for holders, follows links into the mount and has it
 * for a moment: nobody that could be named, or ended.
 */
static int unmount_when_idle(const char *path, const struct broker *broker,
			     struct error *reterr)
{
	const struct timespec pause = { .tv_nsec = 10000000 }; /* 10 ms */
	int r = device_unmount(path, false, broker, reterr);
	for (int ms = 0; r == -EBUSY && ms < PASSING_MILLISECONDS && !has_holders(path);
	     ms += 10) {
		(void)nanosleep(&pause, NULL);
		r = device_unmount(path, false, broker, reterr);
	}
	return r;
}

/* A server that was killed lets go of the lock once it is gone, which takes a moment.
 * -EBUSY: the mount is served. */
static int end_dead(const char *path, const struct state *state,
		    const struct broker *broker, struct error *reterr)
{
	cleanup_fd int lock = state_lock(state, DYING_MILLISECONDS);
	return lock < 0 ? -EBUSY : dead_remove(state, path, broker, reterr);
}

/* Whoever may mount (not by a broker, which serves one user) may end all mounts. */
static bool may_end(const char *path, const struct broker *broker)
{
	uid_t uid;
	return (!broker && account_may_mount()) || !mounts_user_at(path, &uid) ||
	       uid == geteuid();
}

static int say_not_theirs(const char *path)
{
	char name[64] = "";
	uid_t uid;
	if (mounts_user_at(path, &uid))
		behalf_name(uid, name);
	return say_failed(
	    "'%s' is a mount of %s, who may end it; so may root: sudo venvfs "
	    "unmount --user root '%s'",
	    path, name, path);
}

/* `state` may be NULL: root unmounts what another user mounted. */
static int unmount_path(const char *path, const struct state *state,
			const struct broker *broker)
{
	struct error err = ERROR_INIT;
	char type[64];
	enum mounted mounted = device_look(path, type);
	if (mounted == MOUNTED_NO)
		return say_failed("'%s' is not mounted", path);
	if (mounted == MOUNTED_OTHER)
		return say_failed("'%s' is not a venvfs mount (%s); see umount(8)", path,
				  type);
	if (!may_end(path, broker))
		return say_not_theirs(path);
	int r = unmount_when_idle(path, broker, &err);
	/* Who still has a dead mount open can do nothing with it. */
	if (r == -EBUSY && state)
		r = end_dead(path, state, broker, &err);
	if (r == -EBUSY)
		return say_busy(path);
	if (r < 0)
		return say_error(&err, r);
	/* The server ends by itself; a new mount can be made once it has let go. */
	cleanup_fd int lock = state ? state_lock(state, WAIT_MILLISECONDS) : -1;
	if (lock == -EAGAIN)
		return say_failed(
		    "'%s' is unmounted here, but somebody still has it: another "
		    "mount namespace (a container, unshare)? Its server ends "
		    "with the last of them, or is stopped",
		    path);
	if (lock >= 0)
		leftovers_remove(state);
	return 0;
}

static int unmount_named(const char *dir, const struct broker *broker)
{
	struct error err = ERROR_INIT;
	cleanup_free char *path = NULL;
	CLEANUP(state_freep) struct state *state = NULL;
	int r = path_canonical(dir, &path, &err);
	if (r < 0)
		return say_error(&err, r);
	(void)state_open(path, false, &state, NULL);
	return unmount_path(path, state, broker);
}

static int unmount_usual(const struct broker *broker)
{
	cleanup_free char *dir = NULL;
	int r = environment_dir(&dir);
	return r < 0 ? say_failed("%s", strerror(-r)) : unmount_named(dir, broker);
}

struct unmounting {
	const struct broker *broker;
	int status;
};

static int unmount_state(void *context, struct state *state)
{
	struct unmounting *u = context;
	char type[64];
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	if (plan_read(state_fd(state), &plan) == 0 && plan_is_of_this_boot(&plan) &&
	    device_look(plan.path, type) == MOUNTED_VENVFS)
		u->status |= unmount_path(plan.path, state, u->broker);
	return 0;
}

static int unmount_all(const struct broker *broker)
{
	struct unmounting u = { .broker = broker };
	int r = state_each(unmount_state, &u);
	return r < 0 ? say_failed("cannot list the mounts: %s", strerror(-r)) : u.status;
}

static int unmount_each(const struct broker *broker, char **dirs, size_t count)
{
	int status = 0;
	for (size_t i = 0; i < count; i++)
		status |= unmount_named(dirs[i], broker);
	return status;
}

static int run_unmount(const struct command *command, int argc, char **argv)
{
	struct unmount_options o = { .all = false };
	struct error err = ERROR_INIT;
	struct broker broker;
	CLEANUP(account_freep) struct account *account = NULL;
	const struct device_options nothing = { .source = NULL };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (o.all && first < argc)
		return options_wrong_usage(command, "--all takes no directory");
	int r = behalf_find(o.user, &account, &err);
	if (r == 0 && account)
		r = broker_split(account, &nothing, &broker, &status, &err);
	if (r != 0)
		return r < 0 ? say_error(&err, r) : status;
	const struct broker *used = account ? &broker : NULL;
	if (!o.all && first == argc)
		return unmount_usual(used);
	return o.all ? unmount_all(used)
		     : unmount_each(used, argv + first, (size_t)(argc - first));
}

const struct command command_unmount = {
	"unmount",
	"[DIR...|--all]",
	"end mounts",
	"Unmounts, and returns when a new mount would succeed. When something in it is in\n"
	"use, nothing is changed and the processes are named. Without DIR:\n"
	"$UV_PROJECT_ENVIRONMENT, else .venv, of the project.",
	unmount_options,
	run_unmount,
	NULL
};
