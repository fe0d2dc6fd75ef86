#include "cache/env/lock/uv_sources.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What all files of a package share. */
struct place {
	char *base; /* what paths start from */
	const char *index_url;
};

static int add_wheel(const struct reading *r, const struct place *place,
		     const json_t *table, struct wanted_dist *dist)
{
	struct wanted_wheel wheel = { .name = NULL };
	int result = fill_place(r, place->base, json_get_text(table, "path"),
				json_get_text(table, "url"), &wheel.path, &wheel.url);
	if (result == 0)
		result = fill_bytes(r, table, &wheel.bytes);
	if (result == 0)
		result = fill_text(r, place->index_url, &wheel.index_url);
	if (result == 0)
		return fill_add_wheel(r, dist, &wheel);
	wanted_wheel_release(&wheel);
	return result;
}

static int add_sdist(const struct reading *r, const struct place *place,
		     const json_t *table, struct wanted_dist *dist)
{
	struct wanted_source *source = fill_new_source(dist, WANTED_SDIST);
	int result =
	    source ? fill_location(r, place->base, table, &source->path_or_url) : -ENOMEM;
	if (result == 0)
		result = fill_bytes(r, table, &source->bytes);
	return result == 0 ? fill_text(r, place->index_url, &source->index_url) : result;
}

/* `registry` is the URL of an index, or a folder. */
static int add_registry(const struct reading *r, const struct uv_package *package,
			const char *registry, bool no_wheel, struct wanted_dist *dist)
{
	bool is_url = strstr(registry, "://") != NULL;
	cleanup_free char *base =
	    is_url ? strdup(r->file->folder) : fill_clean_path(r->file->folder, registry);
	const struct place place = { base, is_url ? registry : NULL };
	const json_t *sdist = json_object_get(package->json, "sdist");
	size_t i;
	json_t *table;
	int result = base ? 0 : -ENOMEM;
	if (no_wheel && !sdist)
		return fill_refuse(r,
				   "%s is to be built, by no-binary, and it has no "
				   "source of it",
				   dist->name);
	json_array_foreach(json_object_get(package->json, "wheels"), i, table)
	{
		if (result == 0 && !no_wheel)
			result = add_wheel(r, &place, table, dist);
	}
	if (result == 0 && sdist && dist->wheel_count == 0)
		result = add_sdist(r, &place, sdist, dist);
	return result;
}

/*
 * One file, named by URL or path in the source; its hash stands where a wheel's or an
 * sdist's stands.
 */
static int add_file(const struct reading *r, const struct uv_package *package,
		    struct wanted_dist *dist)
{
	const json_t *wheel = json_array_get(json_object_get(package->json, "wheels"), 0);
	const json_t *sdist = json_object_get(package->json, "sdist");
	const char *text = json_get_text(package->source, "url");
	cleanup_json json_t *table = json_object();
	if (!text)
		text = json_get_text(package->source, "path");
	cleanup_free char *file = fill_file_name(text);
	if (!table || !file ||
	    json_object_update(table, (json_t *)(uintptr_t)(package->source)) < 0)
		return -ENOMEM;
	const json_t *bytes = wheel ? wheel : sdist;
	const char *hash = json_get_text(bytes, "hash");
	if (hash && json_object_set_new(table, "hash", json_string(hash)) < 0)
		return -ENOMEM;
	const struct place place = { r->file->folder, NULL };
	dist->direct = true;
	if (fill_is_wheel(file))
		return add_wheel(r, &place, table, dist);
	int result = add_sdist(r, &place, table, dist);
	return result == 0 ? fill_text(r, json_get_text(package->source, "subdirectory"),
				       &dist->source->subdirectory)
			   : result;
}

static int add_directory(const struct reading *r, const char *folder, bool editable,
			 struct wanted_dist *dist)
{
	struct wanted_source *source = fill_new_source(dist, WANTED_DIRECTORY);
	cleanup_free char *path = fill_clean_path(r->file->folder, folder);
	if (!source || !path)
		return -ENOMEM;
	dist->direct = true;
	source->says_editable = true;
	source->editable = editable && !r->options->no_editable;
	return fill_text(r, path, &source->path_or_url);
}

/* The value of a key in "?rev=main&subdirectory=a%2Fb", decoded. NULL: it is not there.
 */
static int query_value(const struct reading *r, const char *query, size_t size,
		       const char *key, char **ret)
{
	size_t key_size = strlen(key);
	for (size_t at = 0; at < size;) {
		size_t end = at + strcspn(query + at, "&#");
		if (end > size)
			end = size;
		if (end - at > key_size && strncmp(query + at, key, key_size) == 0 &&
		    query[at + key_size] == '=') {
			cleanup_free char *value = fill_decode(query + at + key_size + 1,
							       end - at - key_size - 1);
			return value ? fill_text(r, value, ret) : -ENOMEM;
		}
		at = end + 1;
	}
	return 0;
}

/* "https://host/repository?subdirectory=x&rev=main#<commit>" */
static int add_git(const struct reading *r, const char *url, struct wanted_dist *dist)
{
	static const char *const revisions[] = { "rev", "tag", "branch" };
	struct wanted_source *source = fill_new_source(dist, WANTED_GIT);
	size_t plain = strcspn(url, "?#");
	size_t hash = strcspn(url, "#");
	const char *query = url + plain + (plain < hash);
	size_t query_size = hash - plain - (plain < hash);
	cleanup_free char *repository = strndup(url, plain);
	if (!source || !repository)
		return -ENOMEM;
	dist->direct = true;
	if (url[hash] != '#' || !fill_is_commit(url + hash + 1))
		return fill_bad(r, "%s has no commit", dist->name);
	int result = fill_text(r, repository, &source->path_or_url);
	if (result == 0)
		result = fill_text(r, url + hash + 1, &source->commit);
	if (result == 0)
		result = query_value(r, query, query_size, "subdirectory",
				     &source->subdirectory);
	for (size_t i = 0; result == 0 && !source->revision && i < 3; i++)
		result =
		    query_value(r, query, query_size, revisions[i], &source->revision);
	return result;
}

static int fill_dist(const struct reading *r, const struct uv_package *package,
		     bool no_wheel, struct wanted_dist *dist)
{
	const char *registry = json_get_text(package->source, "registry");
	const char *git = json_get_text(package->source, "git");
	const char *editable = json_get_text(package->source, "editable");
	const char *directory = json_get_text(package->source, "directory");
	if (registry)
		return add_registry(r, package, registry, no_wheel, dist);
	if (git)
		return add_git(r, git, dist);
	if (editable || directory)
		return add_directory(r, editable ? editable : directory, editable, dist);
	if (json_get_text(package->source, "url") ||
	    json_get_text(package->source, "path"))
		return add_file(r, package, dist);
	return fill_bad(r, "%s is of a source that this venvfs does not know",
			dist->name);
}

int uv_source_add(struct reading *r, const struct uv_package *package, bool no_wheel)
{
	struct wanted_dist dist = { .name = NULL };
	int result = fill_name(r, package->name, &dist.name);
	if (result == 0)
		result = fill_text(r, package->version, &dist.version);
	if (result == 0)
		result = fill_dist(r, package, no_wheel, &dist);
	if (result == 0)
		return fill_dist_done(r, &dist);
	wanted_dist_release(&dist);
	return result;
}
