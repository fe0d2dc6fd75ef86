#include "cli/gather.h"

#include "cache/base/file.h"
#include "cache/base/json.h"
#include "cache/env/seed.h"
#include "cache/source/url.h"
#include "cli/output.h"
#include "cli/python.h"
#include "cli/sources.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

void gathered_close_images(struct gathered *g)
{
	for (size_t i = 0; g->env_wheels && i < g->count; i++) {
		image_free(g->env_wheels[i].image);
		g->env_wheels[i].image = NULL;
	}
}

void gathered_abandon_images(struct gathered *g)
{
	for (size_t i = 0; g->env_wheels && i < g->count; i++) {
		image_abandon(g->env_wheels[i].image);
		g->env_wheels[i].image = NULL;
	}
}

void gathered_release(struct gathered *g)
{
	interpreter_free(g->interpreter);
	gathered_close_images(g);
	for (size_t i = g->locked.count; g->env_wheels && i < g->count; i++)
		free((void *)(uintptr_t)g->env_wheels[i].direct_url);
	free(g->env_wheels);
	locked_release(&g->locked);
	free(g->pip);
	folder_args_release(&g->folders);
	wheel_args_release(&g->wheels);
	lease_free(g->lease);
	cache_free(g->cache);
	*g = (struct gathered){ .cache = NULL };
}

void gather_options_release(struct gather_options *options)
{
	text_list_release(&options->layers);
	lock_args_release(&options->locks);
}

static int open_caches(const struct gather_request *q, struct gathered *g,
		       struct error *reterr)
{
	int r = cache_open(&g->cache, reterr);
	if (r < 0)
		return r;
	struct store *own = cache_own(g->cache);
	r = lease_take(own, q->who, &g->lease);
	return r < 0 ? error_errno(reterr, r, "cannot write to the cache '%s'",
				   store_path(own))
		     : 0;
}

static bool is_pip(const char *wheel)
{
	return strncasecmp(wheel, "pip-", 4) == 0;
}

/* A pip that was named, or that a lock has, is the one. */
static bool has_pip(const struct gather_request *q, const struct gathered *g)
{
	for (size_t i = 0; i < g->locked.count; i++) {
		if (is_pip(g->locked.wheels[i].note.file_name))
			return true;
	}
	for (size_t i = 0; i < q->count; i++) {
		const char *slash = strrchr(q->wheels[i], '/');
		if (is_pip(slash ? slash + 1 : q->wheels[i]))
			return true;
	}
	return false;
}

/* The folder that a wheel lay in, as many lie in one. */
struct folder {
	char *given; /* up to the last slash; NULL: none yet */
	char *canonical;
};

static void folder_release(struct folder *folder)
{
	free(folder->given);
	free(folder->canonical);
	*folder = (struct folder){ .given = NULL };
}

/* Makes the folder canonical once, and of the file finds out whether it is a symlink. */
static int canonical_in(struct folder *folder, const char *file, char **ret_path,
			struct error *reterr)
{
	struct stat st;
	const char *slash = strrchr(file, '/');
	const char *name = slash ? slash + 1 : file;
	if (lstat(file, &st) < 0 || !S_ISREG(st.st_mode))
		return path_canonical(file, ret_path, reterr);
	cleanup_free char *given =
	    slash ? strndup(file, (size_t)(name - file)) : strdup(".");
	if (!given)
		return -ENOMEM;
	if (!folder->given || strcmp(folder->given, given) != 0) {
		folder_release(folder);
		int r = path_canonical(given, &folder->canonical, reterr);
		if (r < 0)
			return r;
		folder->given = steal_ptr(given);
	}
	*ret_path = path_join(folder->canonical, name);
	return *ret_path ? 0 : -ENOMEM;
}

/* direct_url.json (PEP 610) of a wheel at that URL. */
static int spell_archive(struct buffer *url, char **ret)
{
	const char *text = buffer_cstr(url);
	cleanup_json json_t *value =
	    text ? json_pack("{ss s{}}", "url", text, "archive_info") : NULL;
	*ret = value ? json_dumps(value, JSON_COMPACT) : NULL;
	return *ret ? 0 : -ENOMEM;
}

static int spell_origin(struct folder *folder, const char *file, const char **ret,
			struct error *reterr)
{
	cleanup_free char *path = NULL;
	cleanup_buffer struct buffer url = BUFFER_INIT;
	char *text = NULL;
	int r = canonical_in(folder, file, &path, reterr);
	if (r == 0)
		r = path_append_url(&url, path);
	if (r == 0)
		r = spell_archive(&url, &text);
	*ret = text;
	return r;
}

/* Where the wheels came from is kept, but of pip, which nobody named. */
static int fill_wheels(struct gathered *g)
{
	struct error err = ERROR_INIT;
	CLEANUP(folder_release) struct folder folder = { .given = NULL };
	size_t all = g->locked.count + g->wheels.count;
	g->env_wheels = calloc(all + 1, sizeof(*g->env_wheels));
	if (!g->env_wheels)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < g->locked.count; i++) {
		const struct locked_wheel *wheel = &g->locked.wheels[i];
		g->env_wheels[g->count++] = (struct environment_wheel){
			.image_id = wheel->note.image,
			.direct_url = wheel->record.notes.direct_url,
			.uv_cache = wheel->record.notes.uv_cache,
			.uv_build = wheel->record.notes.uv_build,
			.installer = wheel->record.notes.installer,
			.name = wheel->note.file_name
		};
	}
	for (size_t i = 0; i < g->wheels.count; i++) {
		const struct wheel_job *job = &g->wheels.jobs[i];
		struct environment_wheel *to = &g->env_wheels[g->count++];
		*to = (struct environment_wheel){ .image_id = job->note.image,
						  .name = job->path };
		size_t own = g->pip ? 1 : 0;
		int r =
		    i < own ? 0 : spell_origin(&folder, job->path, &to->direct_url, &err);
		if (r < 0)
			return say_error(&err, r);
	}
	return 0;
}

static int add_wheels(const struct gather_request *q, struct gathered *g)
{
	size_t own = g->pip ? 1 : 0;
	cleanup_free char **paths = calloc(own + q->count + 1, sizeof(*paths));
	if (!paths)
		return say_failed("%s", strerror(ENOMEM));
	size_t count = own;
	paths[0] = g->pip;
	for (size_t i = 0; i < q->count; i++) {
		if (!is_source_operand(q->wheels[i]))
			paths[count++] = q->wheels[i];
	}
	return wheels_add(g->cache, paths, count, q->options->lenient,
			  q->options->verbose, &g->wheels);
}

/* NULL with 0: it was a pin. */
static int spell_url(const char *operand, char **ret)
{
	cleanup_free char *url = NULL;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	bool has_hash;
	struct sha256 sha256;
	if (!url_is_http(operand))
		return 0;
	int r = url_split_hash(operand, &url, &has_hash, &sha256);
	r = r < 0 ? r : url_append_without_login(&text, url);
	return r < 0 ? r : spell_archive(&text, ret);
}

/* URLs and name==version, fetched: as if a lock had named them. */
static int add_fetched(const struct gather_request *q, struct gathered *g)
{
	struct locked *to = &g->locked;
	cleanup_free char **operands = calloc(q->count + 1, sizeof(*operands));
	cleanup_free struct wheel_note *notes = calloc(q->count + 1, sizeof(*notes));
	struct source_add add = { .operands = operands,
				  .python = q->options->python,
				  .lenient = q->options->lenient,
				  .verbose = q->options->verbose,
				  .ret_notes = notes };
	struct locked_wheel *all =
	    reallocarray(to->wheels, to->count + q->count + 1, sizeof(*all));
	if (all)
		to->wheels = all;
	if (!operands || !notes || !all)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < q->count; i++) {
		if (is_source_operand(q->wheels[i]))
			operands[add.count++] = q->wheels[i];
	}
	int status = sources_add(g->cache, &add, &q->options->locks.source);
	for (size_t i = 0; status == 0 && i < add.count; i++) {
		struct locked_wheel *wheel = &to->wheels[to->count++];
		*wheel = (struct locked_wheel){ .note = notes[i] };
		wheel->record.wheel = notes[i].sha256;
		if (spell_url(operands[i], &wheel->record.notes.direct_url) < 0)
			status = say_failed("%s", strerror(ENOMEM));
	}
	return status;
}

/* The interpreter and what is known of the wheels. */
static int gather_wheels(const struct gather_request *q, const struct lock_args *locks,
			 struct gathered *g)
{
	struct error err = ERROR_INIT;
	const struct gather_options *o = q->options;
	int r = python_find(cache_own(g->cache), o->python, &g->interpreter, &err);
	if (r < 0)
		return say_error(&err, r);
	if (o->verbose)
		say_note("Python %s: %s", g->interpreter->version,
			 g->interpreter->executable);
	const struct lock_request request = { .args = locks,
					      .interpreter = g->interpreter,
					      .lenient = o->lenient,
					      .verbose = o->verbose };
	int status = locks ? locks_get(g->cache, &request, &g->locked) : 0;
	if (status == 0)
		status = add_fetched(q, g);
	if (status == 0 && o->seed && !has_pip(q, g))
		r = seed_find_pip(g->interpreter, &g->pip, &err);
	if (r < 0)
		return say_error(&err, r);
	if (status == 0)
		status = add_wheels(q, g);
	return status != 0 ? status : fill_wheels(g);
}

bool is_wheel_operand(const char *text)
{
	return is_wheel_name(text) || is_source_operand(text);
}

int gather(const struct gather_request *q, struct gathered *g)
{
	struct error err = ERROR_INIT;
	const struct gather_options *o = q->options;
	const struct lock_args *locks =
	    lock_args_apply(&o->locks, q->count + o->layers.count, o->seed);
	int r = open_caches(q, g, &err);
	if (r < 0)
		return say_error(&err, r);
	if (o->verbose)
		say_lines("VENVFS_CACHE_PATH", cache_skipped(g->cache));
	int status = q->count > 0 || o->seed || locks ? gather_wheels(q, locks, g) : 0;
	if (status != 0)
		return status;
	return folders_add(g->cache, o->layers.items, o->layers.count, o->verbose,
			   &g->folders);
}
