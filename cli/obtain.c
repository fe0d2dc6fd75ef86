#include "cli/obtain.h"

#include "cache/base/file.h"
#include "cache/source/url.h"
#include "cli/output.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* -- what is noted of where it came from --------------------------------------------- */

/* Without user and password: what is installed is for all to read. */
static int append_place(struct buffer *out, const char *path_or_url)
{
	const char *host = strstr(path_or_url, "://");
	if (path_or_url[0] == '/')
		return path_append_url(out, path_or_url);
	host = host ? host + 3 : path_or_url;
	const char *at = memrchr(host, '@', strcspn(host, "/?#"));
	int r = buffer_append(out, path_or_url, (size_t)(host - path_or_url));
	return r == 0 ? buffer_append_text(out, at ? at + 1 : host) : r;
}

static json_t *spell_kind(const struct wanted_source *s)
{
	if (s && s->kind == WANTED_GIT)
		return json_pack("{s{ss ss ss*}}", "vcs_info", "vcs", "git", "commit_id",
				 s->commit, "requested_revision", s->revision);
	if (s && s->kind == WANTED_DIRECTORY && !s->editable && !s->says_editable)
		return json_pack("{s{}}", "dir_info");
	if (s && s->kind == WANTED_DIRECTORY)
		return json_pack("{s{sb}}", "dir_info", "editable", s->editable);
	return json_pack("{s{}}", "archive_info");
}

/* `folder`: of a directory, where in it the project is. */
static const char *place_of(const struct wanted_dist *dist, const char *folder)
{
	if (folder)
		return folder;
	if (dist->source)
		return dist->source->path_or_url;
	if (dist->wheel_count == 0)
		return NULL;
	return dist->wheels->url ? dist->wheels->url : dist->wheels->path;
}

/* PEP 610, as uv writes it; NULL with 0: it came from an index. */
static int spell_direct_url(const struct wanted_dist *dist, const char *folder,
			    char **ret)
{
	const struct wanted_source *source = dist->source;
	const char *place = place_of(dist, folder);
	cleanup_buffer struct buffer url = BUFFER_INIT;
	*ret = NULL;
	if (!dist->direct || !place)
		return 0;
	int r = append_place(&url, place);
	const char *all = r == 0 ? buffer_cstr(&url) : NULL;
	cleanup_json json_t *value = all ? json_pack("{ss}", "url", all) : NULL;
	cleanup_json json_t *kind = spell_kind(source);
	const char *below = source && !folder ? source->subdirectory : NULL;
	if (!value || json_object_update(value, kind) < 0 ||
	    (below && json_object_set_new(value, "subdirectory", json_string(below)) < 0))
		return -ENOMEM;
	*ret = json_dumps(value, JSON_COMPACT); /* the URL first */
	return *ret ? 0 : -ENOMEM;
}

/*
 * Of a file on this machine uv notes when it last changed, and installs it again when
 * that is not so: the plan is right as long as it is.
 */
static int note_file(const char *path, struct build_record *record)
{
	struct stat st;
	char *slash;
	if (path[0] != '/' || stat(path, &st) < 0)
		return 0;
	free(record->notes.uv_cache);
	if (asprintf(
		&record->notes.uv_cache,
		"{\"timestamp\":{\"secs_since_epoch\":%lld,\"nanos_since_epoch\":%ld},"
		"\"commit\":null,\"tags\":null,\"env\":{},\"directories\":{}}",
		(long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec) < 0) {
		record->notes.uv_cache = NULL;
		return -ENOMEM;
	}
	record->folder = strdup(path);
	slash = record->folder ? strrchr(record->folder, '/') : NULL;
	record->keys = slash ? json_pack("[s]", slash + 1) : NULL;
	if (!record->keys)
		return -ENOMEM;
	slash[slash == record->folder] = '\0';
	return build_record_stamp(record);
}

static int note_origin(const struct wanted_dist *dist, struct build_record *record)
{
	const struct wanted_source *source = dist->source;
	const char *path = source && source->kind == WANTED_SDIST ? source->path_or_url
			   : dist->wheel_count > 0                ? dist->wheels->path
								  : NULL;
	free(record->notes.direct_url);
	int r = spell_direct_url(dist, record->folder, &record->notes.direct_url);
	return r == 0 && dist->direct && path ? note_file(path, record) : r;
}

static int note_origins(const struct obtaining *o, struct obtained *all)
{
	for (size_t i = 0; i < o->wanted->count; i++) {
		struct locked_wheel *wheel = &all[i].wheel;
		wheel->record.wheel = wheel->note.sha256;
		if (note_origin(&o->wanted->dists[i], &wheel->record) < 0)
			return say_failed("%s", strerror(ENOMEM));
	}
	return 0;
}

/* -- building ------------------------------------------------------------------------ */

/* Lists for the tools, which run elsewhere: folders are absolute. */
struct places {
	struct words_of extra_urls, find_links;
};

static void places_release(struct places *places)
{
	words_of_release(&places->extra_urls);
	words_of_release(&places->find_links);
}

static int add_folder(struct words_of *to, const char *place)
{
	cleanup_free char *path = NULL;
	int r = strstr(place, "://") ? 0 : path_canonical(place, &path, NULL);
	return r < 0 ? r : words_of_add(to, path ? path : place);
}

static int add_all(struct words_of *to, const char *const *items, size_t count,
		   bool folders)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = folders ? add_folder(to, items[i]) : words_of_add(to, items[i]);
	return r;
}

/* What the command line and a requirements file say; the tools know their own files. */
static int tell_tools(const struct obtaining *o, struct places *places,
		      struct tool_settings *ret)
{
	const struct wanted_indexes *file = &o->wanted->indexes;
	const struct source_options *said = o->options;
	int r = add_all(&places->extra_urls, said->extra_indexes.items,
			said->extra_indexes.count, false);
	if (r == 0)
		r = add_all(&places->extra_urls, (const char *const *)file->extra_urls,
			    file->extra_count, false);
	if (r == 0)
		r = add_all(&places->find_links, said->find_links.items,
			    said->find_links.count, true);
	if (r == 0)
		r = add_all(&places->find_links, (const char *const *)file->find_links,
			    file->find_count, true);
	*ret = (struct tool_settings){
		.index_url = said->index_url ? said->index_url : file->index_url,
		.extra_urls = (const char *const *)places->extra_urls.items,
		.extra_count = places->extra_urls.count,
		.find_links = (const char *const *)places->find_links.items,
		.find_count = places->find_links.count,
		.no_index = file->no_index,
		.offline = o->settings->offline
	};
	return r;
}

/* -- sdists -------------------------------------------------------------------------- */

/* What is known of each, beside what comes of it. */
struct work {
	const struct obtaining *o;
	struct builder *builder;
	struct obtained *ret;
	bool *done;
	struct source_sdist *sdists;
};

/* Of a pin, of which an index only has the archive. The texts are borrowed. */
static struct wanted_source source_of(const struct wanted_dist *dist, const char *place)
{
	struct wanted_source source = { .kind = WANTED_SDIST };
	if (dist->source)
		return *dist->source;
	source.name = dist->name;
	source.version = dist->version;
	source.path_or_url = (char *)(uintptr_t)place;
	return source;
}

static bool is_built(void *context, const struct wanted_dist *dist,
		     const struct sha256 *sha256)
{
	const struct work *all = context;
	const struct wanted_source source = source_of(dist, "");
	struct build_result result;
	if (!builder_find(all->builder, &source, sha256, &result))
		return false;
	build_record_release(&result.record);
	return true;
}

/* Builds what is open yet. */
static int build_all(struct work *all)
{
	const struct wanted *wanted = all->o->wanted;
	int status = 0;
	for (size_t i = 0; status == 0 && i < wanted->count; i++) {
		const struct source_sdist *sdist = &all->sdists[i];
		const char *place = sdist->place ? sdist->place : "an archive";
		const struct wanted_source source = source_of(&wanted->dists[i], place);
		const struct sha256 *sha256 = sdist->is_there ? &sdist->sha256 : NULL;
		struct build_result result;
		if (all->done[i])
			continue;
		if (all->o->no_build) {
			all->ret[i].left_out = strdup(place);
			continue;
		}
		if (!builder_find(all->builder, &source, sha256, &result))
			status = builder_make(all->builder, &source, sdist->file, sha256,
					      &result);
		if (status == 0)
			all->ret[i].wheel =
			    (struct locked_wheel){ result.note, result.record };
	}
	return status;
}

/* -- all of it ----------------------------------------------------------------------- */

/* Directories and repositories that were built before. */
static bool find_built(const struct work *all, size_t i)
{
	const struct wanted_source *source = all->o->wanted->dists[i].source;
	struct build_result result;
	if (!source || source->kind == WANTED_SDIST ||
	    !builder_find(all->builder, source, NULL, &result))
		return false;
	all->ret[i].wheel = (struct locked_wheel){ result.note, result.record };
	if (all->o->verbose)
		say_note("%s: built before", result.note.file_name);
	return true;
}

/* Wheels and sdists, from wherever they are. */
static int get_files(struct work *all)
{
	const struct wanted *wanted = all->o->wanted;
	size_t count = 0;
	cleanup_free struct wanted_dist *dists =
	    calloc(wanted->count + 1, sizeof(*dists));
	cleanup_free struct wheel_note *notes = calloc(wanted->count + 1, sizeof(*notes));
	cleanup_free struct source_sdist *sdists =
	    calloc(wanted->count + 1, sizeof(*sdists));
	cleanup_free size_t *places = calloc(wanted->count + 1, sizeof(*places));
	if (!dists || !notes || !sdists || !places)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < wanted->count; i++) {
		const struct wanted_source *source = wanted->dists[i].source;
		if (all->done[i] || (source && source->kind != WANTED_SDIST))
			continue;
		places[count] = i;
		dists[count++] = wanted->dists[i]; /* borrowed */
	}
	const struct source_get get = { .dists = dists,
					.count = count,
					.target = all->o->target,
					.lenient = all->o->lenient,
					.verbose = all->o->verbose,
					.ret_notes = notes,
					.ret_sdists = sdists,
					.no_build = all->o->no_build,
					.is_built = all->o->no_build ? NULL : is_built,
					.context = all };
	int status = sources_get(all->o->cache, all->o->settings, &get);
	for (size_t k = 0; k < count; k++) {
		all->sdists[places[k]] = sdists[k];
		all->ret[places[k]].wheel.note = notes[k];
		all->done[places[k]] = !sdists[k].is_there;
	}
	return status;
}

static int obtain_all(struct work *all)
{
	for (size_t i = 0; i < all->o->wanted->count; i++)
		all->done[i] = find_built(all, i);
	int status = get_files(all);
	if (status == 0)
		status = build_all(all);
	return status == 0 ? note_origins(all->o, all->ret) : status;
}

void obtained_release(struct obtained *obtained, size_t count)
{
	for (size_t i = 0; obtained && i < count; i++) {
		build_record_release(&obtained[i].wheel.record);
		free(obtained[i].left_out);
	}
	free(obtained);
}

int obtain(const struct obtaining *o, struct obtained *ret)
{
	CLEANUP(places_release) struct places places = { .extra_urls.items = NULL };
	CLEANUP(builder_release)
	struct builder b = { .cache = o->cache,
			     .interpreter = o->interpreter,
			     .folder = o->folder,
			     .lenient = o->lenient,
			     .verbose = o->verbose };
	const size_t count = o->wanted->count;
	cleanup_free bool *done = calloc(count + 1, sizeof(*done));
	cleanup_free struct source_sdist *sdists = calloc(count + 1, sizeof(*sdists));
	if (!done || !sdists || tell_tools(o, &places, &b.settings) < 0)
		return say_failed("%s", strerror(ENOMEM));
	struct work all = { o, &b, ret, done, sdists };
	int status = obtain_all(&all);
	/* What was fetched for a build that failed is not fetched again. */
	for (size_t i = 0; i < count; i++)
		source_sdist_release(&sdists[i], status != 0);
	return status;
}
