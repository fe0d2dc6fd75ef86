#include "cache/env/discover.h"

#include "cache/base/bytes.h"
#include "cache/base/file.h"
#include "cache/env/discover_private.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LARGEST_PIN = 64 << 10, NAMED_MOST = 6 };

/* --- .python-version --- */

static bool has_text(const char *line)
{
	line += strspn(line, " \t\r");
	return *line && *line != '#';
}

/* The first line that says something; of a command's name nothing is known (uv has it
 * so). */
static int read_pin(const char *path, char **ret_line, struct error *reterr)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = file_read_at(AT_FDCWD, path, LARGEST_PIN, &text);
	char *rest = r == 0 ? (char *)(uintptr_t)buffer_cstr(&text) : NULL;
	if (!rest)
		return error_errno(reterr, r < 0 ? r : -ENOMEM, "cannot read '%s'", path);
	char *line;
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (!has_text(line))
			continue;
		line += strspn(line, " \t\r");
		line[strcspn(line, " \t\r")] = '\0';
		if (request_parse(line).kind == REQUEST_NAME)
			continue;
		*ret_line = strdup(line);
		return *ret_line ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static int pin_in(const char *folder, char **ret_line, char **ret_path,
		  struct error *reterr)
{
	static const char *const names[] = { ".python-version", ".python-versions" };
	struct stat st;
	for (size_t i = 0; i < 2; i++) {
		cleanup_free char *path = path_join(folder, names[i]);
		if (!path)
			return -ENOMEM;
		if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		int r = read_pin(path, ret_line, reterr);
		if (r == 0)
			*ret_path = steal_ptr(path);
		return r;
	}
	return -ENOENT;
}

static int global_pin(char **ret_line, char **ret_path, struct error *reterr)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	bool named = config && *config == '/';
	if (!named && !(home && *home == '/'))
		return -ENOENT;
	cleanup_free char *folder =
	    path_join(named ? config : home, named ? "uv" : ".config/uv");
	return folder ? pin_in(folder, ret_line, ret_path, reterr) : -ENOMEM;
}

int discover_pin(const char *project, const char *root, char **ret_line, char **ret_path,
		 bool *ret_global, struct error *reterr)
{
	cleanup_free char *folder = project ? strdup(project) : NULL;
	int r = -ENOENT;
	*ret_global = false;
	while (folder && *folder) {
		r = pin_in(folder, ret_line, ret_path, reterr);
		bool last = root && strcmp(folder, root) == 0;
		if (r != -ENOENT || last)
			break;
		*strrchr(folder, '/') = '\0';
	}
	if (r != -ENOENT)
		return r;
	*ret_global = true;
	return global_pin(ret_line, ret_path, reterr);
}

/* --- what is asked for --- */

/* The text of a request and who made it. */
struct asked {
	char *text, *who;
};

static void asked_release(struct asked *a)
{
	free(a->text);
	free(a->who);
}

static int take_text(struct asked *a, const char *text, const char *who)
{
	a->text = strdup(text);
	a->who = strdup(who);
	return a->text && a->who ? 0 : -ENOMEM;
}

/* The user's own pin gives way to what the project requires. */
static bool pin_counts(const struct discovery *d, const char *line, bool global)
{
	const char *requires = d->requires_python;
	if (!global || !requires || !*requires || !request_is_version(line))
		return true;
	return request_range_has(requires, line) != 0;
}

static int ask(const struct discovery *d, struct asked *a, struct error *reterr)
{
	const char *variable = getenv("UV_PYTHON");
	bool global;
	if (d->wanted)
		return take_text(a, d->wanted, "--python");
	if (variable && *variable)
		return take_text(a, variable, "UV_PYTHON");
	int r = discover_pin(d->project, d->root, &a->text, &a->who, &global, reterr);
	if (r == 0 && pin_counts(d, a->text, global))
		return 0;
	if (r < 0 && r != -ENOENT)
		return r;
	asked_release(a);
	*a = (struct asked){ .text = NULL };
	if (d->requires_python && *d->requires_python)
		return take_text(a, d->requires_python, "requires-python");
	return take_text(a, "any", "");
}

/* --- the search --- */

struct hunt {
	struct store *store;
	const struct discovery *discovery;
	const struct python_request *request;
	struct interpreter *found, *second; /* second: better than nothing */
	struct buffer others;               /* what was found and is not it, for people */
	size_t other_count;
	struct error err; /* of the first that could not be asked */
};

static void hunt_release(struct hunt *h)
{
	interpreter_free(h->found);
	interpreter_free(h->second);
	buffer_release(&h->others);
}

static void note_other(struct hunt *h, const struct interpreter *p, const char *program)
{
	const char *text = h->others.size ? buffer_cstr(&h->others) : "";
	if (text && strstr(text, program)) /* "python3" and its "python" */
		return;
	if (h->other_count++ < NAMED_MOST)
		(void)buffer_printf(&h->others, "%s%s (%s)", h->others.size ? ", " : "",
				    p->version, program);
}

/* Of what was not asked for by name: a release that is not finished, a debug build. */
static bool is_second_choice(const struct hunt *h, const struct interpreter *p,
			     enum place place, const char *program)
{
	const char *slash = strrchr(program, '/');
	bool plain = place == PLACE_PATH && slash && strncmp(slash, "/python", 7) == 0;
	if (place == PLACE_NAMED || plain)
		return false;
	return (strpbrk(p->version, "abr") && !request_allows_pre(h->request)) ||
	       (p->debug && !h->request->debug);
}

static int consider(void *context, enum place place, const char *program)
{
	struct hunt *h = context;
	CLEANUP(interpreter_freep) struct interpreter *p = NULL;
	struct error err = ERROR_INIT;
	int r = interpreter_probe(h->store, program, &p, &err);
	/* One that was named is the only one; another that is broken is passed over. */
	if (r < 0 && (r == -ENOMEM || h->request->kind == REQUEST_PATH))
		return error_set(&h->err, r, "%s", error_text(&err, r));
	if (r < 0 && !*h->err.text)
		(void)error_set(&h->err, r, "%s", error_text(&err, r));
	if (r < 0)
		return 0;
	r = request_fits(h->request, p);
	if (r < 0)
		return r;
	bool other = strcmp(p->name, "cpython") != 0 && place == PLACE_UV &&
		     !request_allows_other(h->request);
	if (r == 0 || other) {
		note_other(h, p, program);
		return 0;
	}
	if (!is_second_choice(h, p, place, program)) {
		h->found = steal_ptr(p);
		return 1;
	}
	if (!h->second)
		h->second = steal_ptr(p);
	return 0;
}

/* For people: what there is, whether or not it has a name that was looked for. */
static int name_others(void *context, enum place place, const char *program)
{
	struct hunt *h = context;
	CLEANUP(interpreter_freep) struct interpreter *p = NULL;
	(void)place;
	if (interpreter_probe(h->store, program, &p, NULL) == 0)
		note_other(h, p, program);
	return h->other_count > NAMED_MOST;
}

/* "3.14", ">=3.12 (requires-python)", ... */
static int describe(const struct asked *a, const struct python_request *q,
		    struct buffer *out)
{
	int r = q->kind == REQUEST_ANY
		    ? buffer_append_text(out, "Python")
		    : buffer_printf(out, "%s%s%s",
				    isdigit((unsigned char)*a->text) ? "Python " : "'",
				    a->text, isdigit((unsigned char)*a->text) ? "" : "'");
	if (r == 0 && *a->who && strcmp(a->who, "--python") != 0)
		r = buffer_printf(out, " (asked for by %s)", a->who);
	return r;
}

static int say_none(struct hunt *h, const struct asked *a, struct error *reterr)
{
	cleanup_buffer struct buffer what = BUFFER_INIT;
	const char *text =
	    describe(a, h->request, &what) == 0 ? buffer_cstr(&what) : NULL;
	const struct python_request any = { .kind = REQUEST_ANY };
	if (!text)
		return -ENOMEM;
	if (h->request->kind == REQUEST_VERSION || h->request->kind == REQUEST_RANGE)
		(void)places_visit(&any, h->discovery->preference, name_others, h);
	const char *others = h->others.size ? buffer_cstr(&h->others) : NULL;
	if (others)
		return error_set(reterr, -ENOENT,
				 "there is no %s here, only %s%s; install it (uv python "
				 "install), or name another with --python",
				 text, others,
				 h->other_count > NAMED_MOST ? " and more" : "");
	if (*h->err.text)
		return error_set(reterr, -ENOENT, "there is no %s here: %s", text,
				 h->err.text);
	return error_set(reterr, -ENOENT,
			 "there is no %s in PATH or among uv's own; install it (uv "
			 "python install), or name one with --python",
			 text);
}

/* The project has the last word, also over --python. */
static int check_requires(const struct discovery *d, const struct asked *a,
			  const struct interpreter *p, struct error *reterr)
{
	const char *requires = d->requires_python;
	if (!requires || !*requires)
		return 0;
	char version[64];
	/* A build between two releases calls itself "3.14.0b1+". */
	(void)snprintf(version, sizeof(version), "%.*s", (int)strcspn(p->version, "+"),
		       p->version);
	int r = request_range_has(requires, version);
	if (r < 0)
		return error_set(reterr, -EINVAL,
				 "requires-python '%s' cannot be understood", requires);
	if (r > 0)
		return 0;
	return error_set(reterr, -EINVAL,
			 "the project requires Python %s, but %s names %s (%s); change "
			 "one of them",
			 requires, *a->who ? a->who : "PATH", p->version, p->executable);
}

int discover_interpreter(struct store *store, const struct discovery *discovery,
			 struct interpreter **ret, struct error *reterr)
{
	CLEANUP(asked_release) struct asked asked = { .text = NULL };
	int r = ask(discovery, &asked, reterr);
	if (r < 0)
		return r;
	struct python_request request = request_parse(asked.text);
	struct stat st;
	/* ".venv" is a path where there is one. */
	if (request.kind == REQUEST_NAME && stat(asked.text, &st) == 0)
		request.kind = REQUEST_PATH;
	CLEANUP(hunt_release)
	struct hunt hunt = { .store = store,
			     .discovery = discovery,
			     .request = &request };
	r = request.kind == REQUEST_RANGE && request_range_has(request.text, "3") < 0
		? error_set(reterr, -EINVAL, "%s: '%s' is no version of Python",
			    asked.who, asked.text)
		: places_visit(&request, discovery->preference, consider, &hunt);
	if (r < 0)
		return *hunt.err.text ? error_set(reterr, r, "%s", hunt.err.text) : r;
	if (!hunt.found)
		hunt.found = steal_ptr(hunt.second);
	if (!hunt.found)
		return say_none(&hunt, &asked, reterr);
	r = check_requires(discovery, &asked, hunt.found, reterr);
	if (r == 0)
		*ret = steal_ptr(hunt.found);
	return r;
}
