#include "cli/locks.h"

#include "cache/base/file.h"
#include "cache/env/lock/plan.h"
#include "cache/source/url.h"
#include "cache/source/words.h"
#include "cli/obtain.h"
#include "cli/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* All that is in hand while locks are read. */
struct reading {
	const struct lock_request *request;
	struct cache *cache;
	struct lock_file *files;
	size_t file_count;
	struct target target;
	struct wanted wanted;
	struct lock_notes notes;
	struct digest key;
};

static void release_files(struct lock_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		lock_file_release(&files[i]);
	free(files);
}

static void reading_release(struct reading *r)
{
	release_files(r->files, r->file_count);
	target_release(&r->target);
	wanted_release(&r->wanted);
	lock_notes_release(&r->notes);
}

void lock_args_release(struct lock_args *a)
{
	text_list_release(&a->requirements);
	text_list_release(&a->extras);
	text_list_release(&a->no_extras);
	text_list_release(&a->groups);
	text_list_release(&a->no_groups);
	text_list_release(&a->only_groups);
	source_options_release(&a->source);
}

void locked_release(struct locked *locked)
{
	for (size_t i = 0; i < locked->count; i++)
		build_record_release(&locked->wheels[i].record);
	free(locked->wheels);
	release_files(locked->files, locked->file_count);
	json_decref(locked->inputs);
	*locked = (struct locked){ .wheels = NULL };
}

static bool says_anything(const struct lock_args *a)
{
	return a->lock || a->requirements.count > 0 || a->extras.count > 0 ||
	       a->no_extras.count > 0 || a->groups.count > 0 || a->no_groups.count > 0 ||
	       a->only_groups.count > 0 || a->all_extras || a->all_groups ||
	       a->no_default_groups || a->no_dev || a->only_dev || a->all_packages ||
	       a->no_project || a->no_editable || a->no_build;
}

static bool is_found(void)
{
	CLEANUP(lock_file_release) struct lock_file file = { .path = NULL };
	return lock_find(".", &file, NULL) == 0;
}

const struct lock_args *lock_args_apply(const struct lock_args *args, size_t named,
					bool seed)
{
	bool apply = says_anything(args) || (named == 0 && (!seed || is_found()));
	return apply ? args : NULL;
}

/* --lock, else each -r, else what is found. */
static int name_files(struct reading *r, struct error *reterr)
{
	const struct lock_args *a = r->request->args;
	r->files = calloc(a->requirements.count + 1, sizeof(*r->files));
	if (!r->files)
		return -ENOMEM;
	int result = 0;
	for (size_t i = 0; result == 0 && i < a->requirements.count; i++) {
		result = lock_name_requirements(a->requirements.items[i],
						&r->files[r->file_count], reterr);
		r->file_count += result == 0;
	}
	if (r->file_count > 0 || result < 0)
		return result;
	result = a->lock ? lock_name(a->lock, &r->files[0], reterr)
			 : lock_find(".", &r->files[0], reterr);
	r->file_count = result == 0;
	return result;
}

static struct lock_names names_of(const struct text_list *list)
{
	return (struct lock_names){ list->items, list->count };
}

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);
	return value && word_is_on(value);
}

/* With what variables say that `uv sync` heeds. */
static struct lock_options options_of(const struct lock_args *a)
{
	return (struct lock_options){
		.extras = names_of(&a->extras),
		.no_extras = names_of(&a->no_extras),
		.groups = names_of(&a->groups),
		.no_groups = names_of(&a->no_groups),
		.only_groups = names_of(&a->only_groups),
		.all_extras = a->all_extras,
		.all_groups = a->all_groups,
		.no_default_groups =
		    a->no_default_groups || is_set("UV_NO_DEFAULT_GROUPS"),
		.no_dev = a->no_dev || is_set("UV_NO_DEV"),
		.only_dev = a->only_dev,
		.all_packages = a->all_packages,
		.no_project = a->no_project || is_set("UV_NO_INSTALL_PROJECT"),
		.no_editable = a->no_editable || is_set("UV_NO_EDITABLE"),
		.no_binary = is_set("UV_NO_BINARY"),
		.no_binary_packages = getenv("UV_NO_BINARY_PACKAGE")
	};
}

static int spell_list(struct buffer *out, const struct text_list *list)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < list->count; i++)
		r = buffer_printf(out, "%zu %s ", strlen(list->items[i]), list->items[i]);
	return r == 0 ? buffer_append_text(out, ";") : r;
}

/* What a plan depends on beside the files and the interpreter. */
static int spell_options(const struct lock_args *a, struct buffer *out)
{
	enum { LISTS = 7 };
	const struct text_list *const lists[LISTS] = {
		&a->extras,           &a->no_extras,   &a->groups,
		&a->no_groups,        &a->only_groups, &a->source.extra_indexes,
		&a->source.find_links
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < LISTS; i++)
		r = spell_list(out, lists[i]);
	const struct lock_options o = options_of(a);
	if (r == 0)
		r = buffer_printf(out, "%d%d%d%d%d%d%d%d%d%d %s;%s", o.all_extras,
				  o.all_groups, o.no_default_groups, o.no_dev, o.only_dev,
				  o.all_packages, o.no_project, o.no_editable,
				  a->no_build, o.no_binary,
				  o.no_binary_packages ? o.no_binary_packages : "",
				  a->source.index_url ? a->source.index_url : "");
	return r;
}

static int make_key(struct reading *r)
{
	cleanup_buffer struct buffer options = BUFFER_INIT;
	int result = spell_options(r->request->args, &options);
	const char *text = result == 0 ? buffer_cstr(&options) : NULL;
	if (!text)
		return -ENOMEM;
	r->key = lock_plan_key(r->files, r->file_count, r->request->interpreter, text);
	return 0;
}

/* All of a plan that was saved, unless a wheel of it is gone. */
static bool take_plan(struct reading *r, struct locked *ret)
{
	CLEANUP(lock_plan_release) struct lock_plan plan = { .wheels = NULL };
	CLEANUP(locked_release) struct locked locked = { .wheels = NULL };
	if (lock_plan_load(cache_own(r->cache), &r->key, &plan) < 0)
		return false;
	locked.wheels = calloc(plan.count + 1, sizeof(*locked.wheels));
	for (size_t i = 0; locked.wheels && i < plan.count; i++) {
		struct store *store;
		if (cache_find_wheel(r->cache, &plan.wheels[i].wheel, &store,
				     &locked.wheels[i].note) < 0 ||
		    (locked.wheels[i].note.lenient && !r->request->lenient))
			return false;
		locked.wheels[i].record = plan.wheels[i];
		plan.wheels[i] = (struct build_record){ .folder = NULL };
		locked.count++;
	}
	if (!locked.wheels)
		return false;
	if (plan.notes)
		say_lines("lock", plan.notes);
	locked.inputs = steal_ptr(plan.inputs);
	*ret = locked;
	locked = (struct locked){ .wheels = NULL };
	return true;
}

static int read_all(struct reading *r, struct error *reterr)
{
	const struct lock_options options = options_of(r->request->args);
	int result = target_init(r->request->interpreter, &r->target, reterr);
	for (size_t i = 0; result == 0 && i < r->file_count; i++)
		result = lock_read(&r->files[i], &options, &r->target, &r->wanted,
				   &r->notes, reterr);
	return result;
}

static int say_left_out(struct reading *r, const char *name, const char *place)
{
	return buffer_printf(&r->notes.warnings,
			     "%s is left out: it is to be built from '%s'\n", name,
			     place ? place : "its source");
}

/* Takes out what would have to be built. */
static int leave_out_sources(struct reading *r)
{
	size_t kept = 0;
	int result = 0;
	for (size_t i = 0; i < r->wanted.count; i++) {
		struct wanted_dist *dist = &r->wanted.dists[i];
		if (!dist->source) {
			r->wanted.dists[kept++] = *dist;
			continue;
		}
		cleanup_free char *place = url_shown(dist->source->path_or_url);
		if (result == 0)
			result = say_left_out(r, dist->name, place);
		wanted_dist_release(dist);
	}
	r->wanted.count = kept;
	return result;
}

/*
 * Is it told by the lock alone which bytes these are? A page, a folder and a URL may have
 * others the next time, and settings elsewhere say which are asked: what became of that
 * is not remembered. Directories and files of this machine are looked at each time
 * (build_record_is_fresh()).
 */
static bool is_fixed(const struct wanted_dist *dist)
{
	const struct wanted_source *source = dist->source;
	if (source && source->kind != WANTED_SDIST)
		return true;
	if (dist->hash_count > 0)
		return true;
	if (source)
		return wanted_has_hash(&source->bytes) ||
		       (dist->direct && source->path_or_url[0] == '/');
	return !dist->pinned && (wanted_has_hash(&dist->wheels[0].bytes) ||
				 (dist->direct && dist->wheels[0].path));
}

static void save_plan(struct reading *r, const struct locked *locked)
{
	struct lock_plan plan = { .count = locked->count };
	cleanup_free struct build_record *records =
	    calloc(locked->count + 1, sizeof(*records));
	const char *notes = buffer_cstr(&r->notes.warnings);
	bool fixed = records && notes;
	for (size_t i = 0; fixed && i < locked->count; i++) {
		records[i] = locked->wheels[i].record;
		fixed = is_fixed(&r->wanted.dists[i]);
	}
	plan.wheels = records; /* what they hold is borrowed */
	plan.notes = notes && *notes ? strdup(notes) : NULL;
	/* Without it the next time is slower, and nothing else. */
	if (fixed)
		(void)lock_plan_save(cache_own(r->cache), &r->key, &r->notes.inputs,
				     &plan);
	free(plan.notes);
}

/* What is there; of the rest it is said that it is left out. Takes what it holds. */
static int take_obtained(struct reading *r, struct obtained *take_obtained,
			 struct locked *locked)
{
	struct wanted *wanted = &r->wanted;
	const size_t before = r->notes.warnings.size;
	const size_t count = wanted->count;
	int result = 0;
	wanted->count = 0;
	for (size_t i = 0; i < count; i++) {
		struct obtained *o = &take_obtained[i];
		struct wanted_dist dist = wanted->dists[i];
		if (!o->left_out) {
			wanted->dists[wanted->count++] = dist;
			locked->wheels[locked->count++] = o->wheel;
			o->wheel.record = (struct build_record){ .folder = NULL };
			continue;
		}
		if (result == 0)
			result = say_left_out(r, dist.name, o->left_out);
		wanted_dist_release(&dist);
	}
	obtained_release(take_obtained, count);
	const char *notes = buffer_cstr(&r->notes.warnings);
	if (result < 0 || !notes)
		return say_failed("%s", strerror(ENOMEM));
	say_lines("lock", notes + before);
	return 0;
}

static int fetch(struct reading *r, struct locked *locked)
{
	const struct lock_request *q = r->request;
	CLEANUP(source_settings_release)
	struct source_settings settings = { .offline = true };
	int status =
	    source_settings_make(&q->args->source, &r->wanted.indexes, &settings);
	const bool here = r->files[0].kind == LOCK_REQUIREMENTS;
	const struct obtaining o = { .cache = r->cache,
				     .interpreter = q->interpreter,
				     .target = &r->target,
				     .settings = &settings,
				     .options = &q->args->source,
				     .folder = here ? NULL : r->files[0].project,
				     .wanted = &r->wanted,
				     .lenient = q->lenient,
				     .verbose = q->verbose,
				     .no_build = q->args->no_build };
	struct obtained *obtained = calloc(r->wanted.count + 1, sizeof(*obtained));
	locked->wheels = calloc(r->wanted.count + 1, sizeof(*locked->wheels));
	if (status == 0)
		status = obtained && locked->wheels ? obtain(&o, obtained)
						    : say_failed("%s", strerror(ENOMEM));
	if (status == 0)
		status = take_obtained(r, obtained, locked);
	else
		obtained_release(obtained, r->wanted.count);
	return status;
}

static int read_and_fetch(struct reading *r, struct locked *locked)
{
	struct error err = ERROR_INIT;
	int result = read_all(r, &err);
	if (result == 0 && r->request->args->no_build)
		result = leave_out_sources(r);
	if (result < 0)
		return say_error(&err, result);
	const char *notes = buffer_cstr(&r->notes.warnings);
	if (notes && *notes)
		say_lines("lock", notes);
	int status = fetch(r, locked);
	if (status == 0)
		save_plan(r, locked);
	return status;
}

int locks_get(struct cache *cache, const struct lock_request *request, struct locked *ret)
{
	struct error err = ERROR_INIT;
	CLEANUP(reading_release)
	struct reading r = { .request = request, .cache = cache };
	CLEANUP(locked_release) struct locked locked = { .wheels = NULL };
	if (request->args->lock && request->args->requirements.count > 0) {
		(void)say_failed("--lock and -r each name a lock: only one of them goes");
		return EXIT_USAGE;
	}
	struct timespec began;
	(void)clock_gettime(CLOCK_REALTIME, &began);
	int result = name_files(&r, &err);
	if (result == 0)
		result = make_key(&r);
	if (result < 0)
		return say_error(&err, result);
	bool known = take_plan(&r, &locked);
	if (request->verbose)
		say_note("%s: %s", r.files[0].path, known ? "known" : "read");
	int status = known ? 0 : read_and_fetch(&r, &locked);
	if (status != 0)
		return status;
	if (!known)
		locked.inputs = steal_ptr(r.notes.inputs.files);
	locked.began = began;
	locked.files = steal_ptr(r.files);
	locked.file_count = r.file_count;
	r.file_count = 0;
	*ret = locked;
	locked = (struct locked){ .wheels = NULL };
	return 0;
}
