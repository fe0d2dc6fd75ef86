#include "cli/behalf.h"
#include "cli/commands.h"
#include "cli/made.h"
#include "cli/meet.h"
#include "cli/output.h"
#include "fusefs/serve/mounts.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct list_options {
	const char *user;
	bool json, all;
};

static const struct option_spec list_options[] = {
	{ "json", 0, OPTION_FLAG, offsetof(struct list_options, json), NULL,
	  "print JSON, with each one's lock, and the requests that its server has answered" },
	{ "all", 'a', OPTION_FLAG, offsetof(struct list_options, all), NULL,
	  "also mounts of other users, and those whose state lies elsewhere" },
	BEHALF_OPTION(struct list_options),
	{ .name = NULL },
};

struct listed {
	json_t *rows;
	size_t others; /* mounts that are not of this user and this state */
	bool all, json;
};

/* The first of them is what people know the mount by. */
static void add_lock(json_t *row, const struct state *state, const struct plan *plan)
{
	cleanup_json json_t *made = made_describe(state, plan);
	const json_t *lock = json_array_get(json_object_get(made, "locks"), 0);
	if (!lock)
		return;
	(void)json_object_set(row, "lock", json_object_get(lock, "path"));
	(void)json_object_set(row, "lock_state", json_object_get(lock, "state"));
}

static int list_state(void *context, struct state *state)
{
	struct listed *l = context;
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	if (plan_read(state_fd(state), &plan) < 0 || !plan_is_of_this_boot(&plan))
		return 0;
	CLEANUP(met_release) struct met met;
	meet(state, &plan, &met);
	if (met.state == MET_NOTHING)
		return 0;
	json_t *row =
	    json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "path", plan.path,
		      "state", met_text(&met), "python", plan.python, "python_version",
		      plan.python_version, "wheels", (json_int_t)plan_wheels(&plan),
		      "folders", (json_int_t)plan_folders(&plan), "since",
		      (json_int_t)plan.since, "state_directory", state_path(state));
	if (row && met.answer) {
		static const char *const told[] = { "pid", "supervisor", "restarts",
						    "requests" };
		for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
			(void)json_object_set(row, told[i],
					      json_object_get(met.answer, told[i]));
	}
	if (row && l->json)
		add_lock(row, state, &plan);
	return json_array_append_new(l->rows, row) < 0 ? -ENOMEM : 0;
}

static bool is_listed(const json_t *rows, const char *path)
{
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		if (strcmp(json_get_text(row, "path"), path) == 0)
			return true;
	}
	return false;
}

/* Of a mount that is not ours to look into: where it is, and whose. */
static int list_other(void *context, const struct mount_row *mount)
{
	struct listed *l = context;
	char name[64];
	uid_t uid;
	if (!mounts_is_ours(mount, &uid) || is_listed(l->rows, mount->point))
		return 0;
	l->others++;
	if (!l->all)
		return 0;
	behalf_name(uid, name);
	const char *state = uid == geteuid() ? "state elsewhere" : "another user's";
	json_t *row = json_pack("{s:s, s:s, s:s}", "path", mount->point, "user", name,
				"state", state);
	/* What is not UTF-8 cannot be ours; it is counted only. */
	if (row)
		(void)json_array_append_new(l->rows, row);
	return 0;
}

static int compare_rows(const void *a, const void *b)
{
	json_t *const *x = a;
	json_t *const *y = b;
	return strcmp(json_get_text(*x, "path"), json_get_text(*y, "path"));
}

/* By path, as directories come in no order. The new array's reference is the caller's. */
static json_t *sort_rows(json_t *rows)
{
	size_t count = json_array_size(rows);
	cleanup_free json_t **sorted = calloc(count + 1, sizeof(json_t *));
	json_t *result = json_array();
	if (!sorted || !result) {
		json_decref(result);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(rows, i);
	qsort(sorted, count, sizeof(json_t *), compare_rows);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append(result, sorted[i]);
	return result;
}

static void add_count(struct table *table, const json_t *row, const char *key)
{
	char text[24] = "-";
	if (json_object_get(row, key))
		(void)snprintf(text, sizeof(text), "%lld",
			       (long long)json_get_int(row, key, 0));
	table_add(table, text);
}

static void add_row(struct table *table, const json_t *row)
{
	char age[32] = "-";
	char state[128];
	const char *version = json_get_text(row, "python_version");
	const char *user = json_get_text(row, "user");
	if (json_object_get(row, "since"))
		format_age(time(NULL) - json_get_int(row, "since", 0), age);
	(void)snprintf(state, sizeof(state), user ? "%s (%s)" : "%s",
		       json_get_text(row, "state"), user);
	table_add(table, json_get_text(row, "path"));
	table_add(table, version && *version ? version : "-");
	add_count(table, row, "wheels");
	add_count(table, row, "folders");
	table_add(table, state);
	table_add(table, age);
}

static int print_table(const struct listed *l, const json_t *rows)
{
	static const char *const heading[] = { "MOUNT",   "PYTHON", "WHEELS",
					       "FOLDERS", "STATE",  "MOUNTED" };
	enum { COLUMNS = sizeof(heading) / sizeof(*heading) };
	CLEANUP(table_freep) struct table *table = table_new(COLUMNS);
	size_t i;
	json_t *row;
	if (!table)
		return say_failed("%s", strerror(ENOMEM));
	for (i = 0; i < COLUMNS; i++)
		table_add(table, heading[i]);
	json_array_foreach(rows, i, row) add_row(table, row);
	table_print(table);
	if (l->others > 0 && !l->all && isatty(STDERR_FILENO) == 1)
		say_note("%zu more %s other users, or with their state elsewhere; --all "
			 "names them",
			 l->others, l->others == 1 ? "is of" : "are of");
	return 0;
}

static int run_list(const struct command *command, int argc, char **argv)
{
	struct list_options o = { .json = false };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (first != argc)
		return options_wrong_usage(command, "it takes no arguments");
	status = behalf_become(o.user);
	if (status != 0)
		return status;
	cleanup_json json_t *rows = json_array();
	struct listed l = { .rows = rows, .all = o.all, .json = o.json };
	int r = rows ? state_each(list_state, &l) : -ENOMEM;
	if (r == 0)
		r = mounts_each(list_other, &l);
	if (r < 0)
		return say_failed("cannot list the mounts: %s", strerror(-r));
	cleanup_json json_t *sorted = sort_rows(rows);
	if (!sorted)
		return say_failed("%s", strerror(ENOMEM));
	return o.json ? print_json(sorted) : print_table(&l, sorted);
}

const struct command command_list = {
	"list",
	"",
	"what is mounted",
	"Lists this user's mounts and how their servers do.",
	list_options,
	run_list,
	NULL
};
