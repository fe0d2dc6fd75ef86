#include "cli/behalf.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "fusefs/serve/control.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MILLISECONDS = 2000 };

struct list_options {
	const char *user;
	bool json;
};

static const struct option_spec list_options[] = {
	{ "json", 0, OPTION_FLAG, offsetof(struct list_options, json), NULL,
	  "print JSON, with the requests that each server has answered" },
	BEHALF_OPTION(struct list_options),
	{ .name = NULL },
};

struct listed {
	json_t *rows;
};

static json_t *ask_status(const struct plan *plan)
{
	json_t *answer = NULL;
	cleanup_json json_t *request = json_pack("{s:s}", "verb", "status");
	if (!request ||
	    control_ask(plan->socket, request, ANSWER_MILLISECONDS, &answer) < 0)
		return NULL;
	return answer;
}

/* What is to be said of a mount; NULL: it is not mounted. */
static const char *find_state(const struct state *state, const struct plan *plan,
			      const json_t *answer)
{
	char type[64];
	bool served = state_is_locked(state);
	if (device_look(plan->path, type) != MOUNTED_VENVFS)
		return served && answer ? "serving elsewhere" : NULL;
	if (!served)
		return "dead";
	return answer ? "serving" : "not answering";
}

static int list_state(void *context, struct state *state)
{
	struct listed *l = context;
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	if (plan_read(state_fd(state), &plan) < 0 || !plan_is_of_this_boot(&plan))
		return 0;
	cleanup_json json_t *answer = state_is_locked(state) ? ask_status(&plan) : NULL;
	const char *text = find_state(state, &plan, answer);
	if (!text)
		return 0;
	json_t *row = json_pack(
	    "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "path", plan.path, "state", text,
	    "python", plan.python, "python_version", plan.python_version, "wheels",
	    (json_int_t)plan_wheels(&plan), "folders", (json_int_t)plan_folders(&plan),
	    "since", (json_int_t)plan.since, "state_directory", state_path(state));
	if (row && answer) {
		static const char *const told[] = { "pid", "supervisor", "restarts",
						    "requests" };
		for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
			(void)json_object_set(row, told[i],
					      json_object_get(answer, told[i]));
	}
	return json_array_append_new(l->rows, row) < 0 ? -ENOMEM : 0;
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

static int print_table(const json_t *rows)
{
	CLEANUP(table_freep) struct table *table = table_new(6);
	size_t i;
	json_t *row;
	if (!table)
		return say_failed("%s", strerror(ENOMEM));
	table_add(table, "MOUNT");
	table_add(table, "PYTHON");
	table_add(table, "WHEELS");
	table_add(table, "FOLDERS");
	table_add(table, "STATE");
	table_add(table, "MOUNTED");
	json_array_foreach(rows, i, row)
	{
		char wheels[24];
		char folders[24];
		char age[32];
		(void)snprintf(wheels, sizeof(wheels), "%lld",
			       (long long)json_get_int(row, "wheels", 0));
		(void)snprintf(folders, sizeof(folders), "%lld",
			       (long long)json_get_int(row, "folders", 0));
		const char *version = json_get_text(row, "python_version");
		format_age(time(NULL) - json_get_int(row, "since", 0), age);
		table_add(table, json_get_text(row, "path"));
		table_add(table, *version ? version : "-");
		table_add(table, wheels);
		table_add(table, folders);
		table_add(table, json_get_text(row, "state"));
		table_add(table, age);
	}
	table_print(table);
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
	struct listed l = { .rows = rows };
	int r = rows ? state_each(list_state, &l) : -ENOMEM;
	if (r < 0)
		return say_failed("cannot list the mounts: %s", strerror(-r));
	cleanup_json json_t *sorted = sort_rows(rows);
	if (!sorted)
		return say_failed("%s", strerror(ENOMEM));
	return o.json ? print_json(sorted) : print_table(sorted);
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
