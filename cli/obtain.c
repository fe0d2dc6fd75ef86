#include "cli/obtain.h"

#include "cache/base/file.h"
#include "cache/source/url.h"
#include "cli/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -- what is noted of where it came from --------------------------------------------- */

static int append_place(struct buffer *out, const char *path_or_url)
{
	return path_or_url[0] == '/' ? path_append_url(out, path_or_url)
				     : buffer_append_text(out, path_or_url);
}

static json_t *spell_vcs(const struct wanted_source *s)
{
	return json_pack("{ss ss ss*}", "vcs", "git", "commit_id", s->commit,
			 "requested_revision", s->revision);
}

/* PEP 610, as uv writes it; NULL with 0: it came from an index, or whoever built it
 * knows.
 */
static int spell_direct_url(const struct wanted_dist *dist, char **ret)
{
	const struct wanted_wheel *wheel = dist->wheel_count > 0 ? dist->wheels : NULL;
	const struct wanted_source *source = dist->source;
	cleanup_buffer struct buffer url = BUFFER_INIT;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	*ret = NULL;
	if (!dist->direct || (source && source->kind == WANTED_DIRECTORY))
		return 0;
	int r = append_place(&url, source       ? source->path_or_url
				   : wheel->url ? wheel->url
						: wheel->path);
	const char *all = r == 0 ? buffer_cstr(&url) : NULL;
	bool vcs = source && source->kind == WANTED_GIT;
	cleanup_json json_t *info = vcs ? spell_vcs(source) : json_object();
	cleanup_json json_t *value =
	    all && info
		? json_pack("{ss sO ss*}", "url", all, vcs ? "vcs_info" : "archive_info",
			    info, "subdirectory", source ? source->subdirectory : NULL)
		: NULL;
	r = value ? json_print(value, false, &text) : -ENOMEM;
	if (r < 0 || !buffer_cstr(&text))
		return r < 0 ? r : -ENOMEM;
	*ret = buffer_steal(&text);
	return 0;
}

static int note_origins(const struct obtaining *o, struct locked_wheel *wheels)
{
	for (size_t i = 0; i < o->wanted->count; i++) {
		struct build_record *record = &wheels[i].record;
		char *text;
		record->wheel = wheels[i].note.sha256;
		if (spell_direct_url(&o->wanted->dists[i], &text) < 0)
			return say_failed("%s", strerror(ENOMEM));
		if (text) {
			free(record->notes.direct_url);
			record->notes.direct_url = text;
		}
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

static int build_all(const struct obtaining *o, struct builder *b, const bool *done,
		     struct locked_wheel *wheels)
{
	int status = 0;
	for (size_t i = 0; status == 0 && i < o->wanted->count; i++) {
		const struct wanted_dist *dist = &o->wanted->dists[i];
		struct build_result result;
		if (done[i])
			continue;
		status = builder_make(b, dist->source, NULL, NULL, &result);
		if (status == 0)
			wheels[i] = (struct locked_wheel){ result.note, result.record };
	}
	return status;
}

/* -- all of it ----------------------------------------------------------------------- */

/* Those that were built before are found; the others that are no wheel are left. */
static bool find_built(const struct obtaining *o, const struct builder *b, size_t i,
		       struct locked_wheel *ret)
{
	const struct wanted_source *source = o->wanted->dists[i].source;
	struct build_result result;
	if (!source || !builder_find(b, source, NULL, &result))
		return false;
	*ret = (struct locked_wheel){ result.note, result.record };
	if (o->verbose)
		say_note("%s: built before", result.note.file_name);
	return true;
}

static int get_wheels(const struct obtaining *o, bool *done, struct locked_wheel *wheels)
{
	size_t count = 0;
	cleanup_free struct wanted_dist *dists =
	    calloc(o->wanted->count + 1, sizeof(*dists));
	cleanup_free struct wheel_note *notes =
	    calloc(o->wanted->count + 1, sizeof(*notes));
	cleanup_free size_t *places = calloc(o->wanted->count + 1, sizeof(*places));
	if (!dists || !notes || !places)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < o->wanted->count; i++) {
		if (done[i] || o->wanted->dists[i].source)
			continue;
		places[count] = i;
		dists[count++] = o->wanted->dists[i]; /* borrowed */
	}
	const struct source_get get = { .dists = dists,
					.count = count,
					.target = o->target,
					.lenient = o->lenient,
					.verbose = o->verbose,
					.ret_notes = notes };
	int status = sources_get(o->cache, o->settings, &get);
	for (size_t k = 0; status == 0 && k < count; k++) {
		wheels[places[k]].note = notes[k];
		done[places[k]] = true;
	}
	return status;
}

int obtain(const struct obtaining *o, struct locked_wheel *ret_wheels)
{
	CLEANUP(places_release) struct places places = { .extra_urls.items = NULL };
	CLEANUP(builder_release)
	struct builder b = { .cache = o->cache,
			     .interpreter = o->interpreter,
			     .folder = o->folder,
			     .lenient = o->lenient,
			     .verbose = o->verbose };
	cleanup_free bool *done = calloc(o->wanted->count + 1, sizeof(*done));
	if (!done || tell_tools(o, &places, &b.settings) < 0)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < o->wanted->count; i++)
		done[i] = find_built(o, &b, i, &ret_wheels[i]);
	int status = get_wheels(o, done, ret_wheels);
	if (status == 0)
		status = build_all(o, &b, done, ret_wheels);
	return status == 0 ? note_origins(o, ret_wheels) : status;
}
