#include "cache/base/file.h"
#include "cli/behalf.h"
#include "cli/commands.h"
#include "cli/environment_dir.h"
#include "cli/made.h"
#include "cli/meet.h"
#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct status_options {
	const char *user;
	bool json, verbose;
};

static const struct option_spec status_options[] = {
	{ "json", 0, OPTION_FLAG, offsetof(struct status_options, json), NULL,
	  "print JSON" },
	{ "verbose", 'v', OPTION_FLAG, offsetof(struct status_options, verbose), NULL,
	  "name each package and where it came from" },
	BEHALF_OPTION(struct status_options),
	{ .name = NULL },
};

/* One mount and all that is known of it. */
struct subject {
	struct state *state;
	struct plan plan;
	struct met met;
	json_t *made; /* made_describe() */
	bool ended;   /* given up, for the reason: */
	char why[200];
	int64_t when;
};

static void subject_release(struct subject *s)
{
	json_decref(s->made);
	met_release(&s->met);
	plan_release(&s->plan);
	state_free(s->state);
}

__attribute__((format(printf, 3, 4))) static void row(struct table *t, const char *name,
						      const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	table_add(t, name);
	table_add(t, text);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);
	return text ? text : "?";
}

static const char *size_text(const json_t *answer, const char *key, char ret_text[24])
{
	int64_t bytes = json_get_int(answer, key, 0);
	format_size(bytes > 0 ? (uint64_t)bytes : 0, ret_text);
	return ret_text;
}

static int compare_counts(const void *a, const void *b)
{
	const json_t *const *x = a;
	const json_t *const *y = b;
	json_int_t left = json_integer_value(*x);
	json_int_t right = json_integer_value(*y);
	return (left < right) - (left > right);
}

/* "312: LOOKUP 200, READ 112", the most frequent first. */
static void add_requests(struct table *t, json_t *requests)
{
	enum { MOST = 64 };
	const json_t *counts[MOST];
	const char *name;
	json_t *value;
	size_t count = 0;
	long long sum = 0;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	json_object_foreach(requests, name, value)
	{
		sum += json_integer_value(value);
		if (count < MOST)
			counts[count++] = value;
	}
	qsort(counts, count, sizeof(json_t *), compare_counts);
	for (size_t i = 0; i < count; i++) {
		const char *found = "";
		json_object_foreach(requests, name, value)
		{
			if (value == counts[i])
				found = name;
		}
		(void)buffer_printf(&text, "%s%s %lld", i ? ", " : ": ", found,
				    (long long)json_integer_value(counts[i]));
	}
	const char *list = buffer_cstr(&text);
	row(t, "requests", "%lld%s", sum, list ? list : "");
}

/* What is being answered, the longest first. */
static void add_busy(struct table *t, const json_t *answer)
{
	const json_t *longest = NULL;
	const json_t *busy = json_object_get(answer, "busy");
	int64_t stuck = json_get_int(answer, "stuck_milliseconds", 0);
	size_t i;
	json_t *one;
	json_array_foreach(busy, i, one)
	{
		if (!longest || json_get_int(one, "milliseconds", 0) >
				    json_get_int(longest, "milliseconds", 0))
			longest = one;
	}
	if (longest)
		row(t, "under way", "%zu, the longest is %s for %.3f seconds",
		    json_array_size(busy), text_of(longest, "request"),
		    (double)json_get_int(longest, "milliseconds", 0) / 1000);
	else
		row(t, "under way", "nothing");
	if (stuck > 0)
		row(t, "waiting", "requests have waited for %.3f seconds",
		    (double)stuck / 1000);
}

static void add_answer(struct table *t, const json_t *answer)
{
	char text[24];
	char other[24];
	char age[32];
	format_age(json_get_int(answer, "seconds", 0), age);
	row(t, "mounted", "%s", age);
	row(t, "version", "%s", text_of(answer, "version"));
	row(t, "worker", "process %lld, %s in memory",
	    (long long)json_get_int(answer, "pid", 0),
	    size_text(answer, "resident", text));
	const json_t *filtered = json_object_get(answer, "filtered");
	if (filtered)
		row(t, "system calls", "%s",
		    json_is_true(filtered)
			? "filtered"
			: "not filtered: no seccomp here, see the log");
	row(t, "supervisor", "process %lld, %s in memory",
	    (long long)json_get_int(answer, "supervisor", 0),
	    size_text(answer, "supervisor_resident", text));
	row(t, "restarts", "%lld", (long long)json_get_int(answer, "restarts", 0));
	add_busy(t, answer);
	add_requests(t, json_object_get(answer, "requests"));
	row(t, "read, written", "%s, %s", size_text(answer, "bytes_read", text),
	    size_text(answer, "bytes_written", other));
	row(t, "copied up", "%lld files", (long long)json_get_int(answer, "copy_ups", 0));
	row(t, "errors", "%lld", (long long)json_get_int(answer, "errors", 0));
}

/* Those that were named, and other files with them that are not what they were. */
static void add_locks(struct table *t, const json_t *made)
{
	size_t i;
	json_t *lock;
	json_t *path;
	json_array_foreach(json_object_get(made, "locks"), i, lock)
	{
		const char *state = text_of(lock, "state");
		row(t, "lock", "%s, %s%s", text_of(lock, "path"), state,
		    strcmp(state, "changed") == 0 ? " since it was mounted" : "");
	}
	json_array_foreach(json_object_get(made, "also_changed"), i, path)
	{
		row(t, "changed, too", "%s", json_string_value(path));
	}
}

static void add_chosen(struct table *t, const json_t *made)
{
	size_t i;
	json_t *one;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	json_array_foreach(json_object_get(made, "chosen"), i, one)
	{
		(void)buffer_printf(&text, "%s%s", i ? " " : "", json_string_value(one));
	}
	const char *all = buffer_cstr(&text);
	if (all && *all)
		row(t, "chosen", "%s", all);
}

/* "12: 9 from an index, 3 from uv's cache", in the order of their names. */
static void add_packages(struct table *t, const json_t *packages)
{
	size_t i;
	json_t *package;
	const char *source;
	json_t *count;
	cleanup_json json_t *counts = json_object();
	cleanup_buffer struct buffer text = BUFFER_INIT;
	json_array_foreach(packages, i, package)
	{
		source = text_of(package, "source");
		(void)json_object_set_new(
		    counts, source, json_integer(json_get_int(counts, source, 0) + 1));
	}
	json_object_foreach(counts, source, count)
	{
		(void)buffer_printf(&text, "%s %lld from %s", text.size ? "," : ":",
				    (long long)json_integer_value(count),
				    made_source_text(source));
	}
	const char *all = buffer_cstr(&text);
	if (json_array_size(packages) > 0)
		row(t, "packages", "%zu%s", json_array_size(packages), all ? all : "");
}

static int print_packages(const json_t *packages)
{
	enum { COLUMNS = 4 };
	static const char *const heading[COLUMNS] = { "PACKAGE", "VERSION", "SOURCE",
						      "FROM" };
	CLEANUP(table_freep) struct table *t = table_new(COLUMNS);
	size_t i;
	json_t *package;
	if (!t)
		return say_failed("%s", strerror(ENOMEM));
	for (i = 0; i < COLUMNS; i++)
		table_add(t, heading[i]);
	json_array_foreach(packages, i, package)
	{
		const char *source = text_of(package, "source");
		const char *origin = text_of(package, "origin");
		table_add(t, text_of(package, "name"));
		table_add(t, text_of(package, "version"));
		table_add(t, *source ? source : "-");
		table_add(t, *origin ? origin : "-");
	}
	if (isatty(STDOUT_FILENO) == 1)
		printf("\n");
	table_print(t);
	return 0;
}

static int print_table(const struct subject *s)
{
	CLEANUP(table_freep) struct table *t = table_new(2);
	char age[32];
	if (!t)
		return say_failed("%s", strerror(ENOMEM));
	row(t, "MOUNT", "%s", s->plan.path);
	row(t, "state", "%s", met_text(&s->met));
	if (s->ended) {
		format_age(time(NULL) - s->when, age);
		row(t, "given up", "%s, as %s", age, s->why);
	}
	if (*s->plan.python_version)
		row(t, "python", "%s, %s", s->plan.python_version, s->plan.python);
	add_locks(t, s->made);
	add_chosen(t, s->made);
	add_packages(t, json_object_get(s->made, "packages"));
	row(t, "layers", "%zu wheels, %zu folders", plan_wheels(&s->plan),
	    plan_folders(&s->plan));
	row(t, "changes", "%s",
	    !*s->plan.upper     ? "none: read-only"
	    : s->plan.ephemeral ? "until it is unmounted"
				: s->plan.upper);
	if (s->met.answer)
		add_answer(t, s->met.answer);
	row(t, "log", "%s/log", state_path(s->state));
	table_print(t);
	return 0;
}

static json_t *layer_names(const struct plan *plan)
{
	json_t *names = json_array();
	for (size_t i = 0; i < plan->count; i++) {
		if (!plan->layers[i].packed)
			(void)json_array_append_new(names,
						    json_string(plan->layers[i].name));
	}
	return names;
}

static int print_object(const struct subject *s)
{
	cleanup_json json_t *object = json_object();
	cleanup_free char *log = path_join(state_path(s->state), "log");
	if (!object || !log)
		return say_failed("%s", strerror(ENOMEM));
	if (s->met.answer)
		(void)json_object_update(object, s->met.answer);
	cleanup_json json_t *known = json_pack(
	    "{s:s, s:s, s:s, s:s, s:o, s:s, s:b, s:s, s:s}", "path", s->plan.path,
	    "state", met_text(&s->met), "python", s->plan.python, "python_version",
	    s->plan.python_version, "layers", layer_names(&s->plan), "upper",
	    s->plan.upper, "ephemeral", s->plan.ephemeral, "state_directory",
	    state_path(s->state), "log", log);
	if (!known || json_object_update(object, known) < 0 ||
	    json_object_update(object, s->made) < 0)
		return say_failed("%s", strerror(ENOMEM));
	if (s->ended) {
		cleanup_json json_t *ended =
		    json_pack("{s:{s:s, s:I}}", "given_up", "why", s->why, "when",
			      (json_int_t)s->when);
		(void)json_object_update(object, ended);
	}
	return print_json(object);
}

/* 0 when it serves; else a line that says what helps. */
static int judge(const struct subject *s)
{
	const char *path = s->plan.path;
	switch (s->met.state) {
	case MET_SERVING:
	case MET_ELSEWHERE:
		return 0;
	case MET_HANGING:
		return say_failed(
		    "the server of '%s' hangs (process %lld); SIGKILL to it starts "
		    "another, and nobody in the mount notices more than a pause",
		    path, (long long)json_get_int(s->met.answer, "pid", 0));
	case MET_SILENT:
		return say_failed("nobody answers for '%s', see '%s/log'", path,
				  state_path(s->state));
	case MET_DEAD:
	case MET_NOTHING:
		break;
	}
	return s->ended ? say_failed("'%s' was given up, as %s; mount it again, nothing "
				     "that was changed is lost",
				     path, s->why)
			: say_failed("nobody serves '%s' any more; mount it again, "
				     "nothing that was changed is lost",
				     path);
}

/* 0, or an exit status. */
static int find_subject(const char *dir, struct subject *s)
{
	struct error err = ERROR_INIT;
	cleanup_free char *path = NULL;
	int r = environment_path(dir, &path, &err);
	if (r < 0)
		return say_error(&err, r);
	if (state_open(path, false, &s->state, NULL) < 0 ||
	    plan_read(state_fd(s->state), &s->plan) < 0)
		return meet_say_none(path);
	if (plan_is_of_this_boot(&s->plan))
		meet(s->state, &s->plan, &s->met);
	s->made = made_describe(s->state, &s->plan);
	s->ended = meet_ended(s->state, s->why, &s->when);
	if (s->met.state == MET_NOTHING && !s->ended)
		return meet_say_none(path);
	return 0;
}

static int run_status(const struct command *command, int argc, char **argv)
{
	struct status_options o = { .json = false };
	CLEANUP(subject_release) struct subject s = { .state = NULL };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (argc - first > 1)
		return options_wrong_usage(command, "one directory at a time; venvfs "
						    "list has them all");
	status = behalf_become(o.user);
	if (status != 0)
		return status;
	status = find_subject(first < argc ? argv[first] : NULL, &s);
	if (status != 0)
		return status;
	status = o.json ? print_object(&s) : print_table(&s);
	if (status == 0 && o.verbose && !o.json)
		status = print_packages(json_object_get(s.made, "packages"));
	return status ? status : judge(&s);
}

const struct command command_status = {
	"status",
	"[DIR]",
	"what a mount is made of, and how its server does",
	"Tells of the mount at DIR: of which lock, interpreter and packages it is made, and\n"
	"whether the lock has changed since; its state, processes, memory and counters, what\n"
	"is being answered for how long, and where its log is; also while it hangs, and why\n"
	"it was given up. The exit status is 1 when it is not served.",
	status_options,
	run_status,
	NULL
};
