/*
 * uv.lock, version 1. It is uv's own, and may change with any release; what a later
 * version means is not guessed.
 */
#include "cache/env/lock/uv_graph.h"

#include "cache/base/file.h"
#include "cache/env/lock/uv_sources.h"
#include "cache/source/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_version(const struct reading *r, const json_t *lock)
{
	int64_t version = json_get_int(lock, "version", -1);
	if (version == 1)
		return 0;
	if (version < 0)
		return fill_bad(r, "it has no version, so it is no uv.lock");
	return fill_bad(r,
			"its version is %lld, and this venvfs knows 1; make a lock for "
			"all tools: uv export --format pylock.toml -o pylock.toml",
			(long long)version);
}

/* The lock's packages that projects are: `.` or a folder below. */
static const char *own_folder(const struct uv_package *p)
{
	static const char *const kinds[] = { "editable", "virtual", "directory" };
	const char *folder = NULL;
	for (size_t i = 0; !folder && i < sizeof(kinds) / sizeof(*kinds); i++)
		folder = json_get_text(p->source, kinds[i]);
	return folder;
}

static int add_root(struct uv_package ***roots, size_t *count, struct uv_package *p)
{
	struct uv_package **more =
	    realloc(*roots, (*count + 1) * sizeof(struct uv_package *));
	if (!more)
		return -ENOMEM;
	*roots = more;
	more[(*count)++] = p;
	return 0;
}

/* All members of the workspace. */
static int take_members(struct uv_graph *g, struct uv_package ***roots, size_t *count)
{
	const json_t *manifest = json_object_get(g->lock, "manifest");
	size_t i;
	json_t *member;
	json_array_foreach(json_object_get(manifest, "members"), i, member)
	{
		const char *name = json_string_value(member);
		struct uv_package *p = name ? uv_graph_first(g, name) : NULL;
		int r = p ? add_root(roots, count, p)
			  : fill_bad(g->reading, "it lacks a member of its workspace");
		if (r < 0)
			return r;
	}
	return 0;
}

/* The project that is meant, or all of a workspace whose root is none. */
static int take_roots(struct uv_graph *g, struct uv_package ***roots, size_t *count,
		      bool *ret_manifest)
{
	const struct lock_file *file = g->reading->file;
	bool at_root = strcmp(file->project, file->folder) == 0;
	int r = 0;
	for (size_t i = 0; i < g->count && *count == 0; i++) {
		const char *folder = own_folder(&g->packages[i]);
		cleanup_free char *path =
		    folder ? fill_clean_path(file->folder, folder) : NULL;
		if (folder && !path)
			return -ENOMEM;
		if (path && strcmp(path, file->project) == 0) {
			g->project = &g->packages[i];
			r = add_root(roots, count, &g->packages[i]);
		}
		if (r < 0)
			return r;
	}
	*ret_manifest = *count == 0;
	if (*count == 0 && !at_root)
		return fill_refuse(g->reading,
				   "it does not lock the project in '%s'; run 'uv lock' "
				   "there",
				   file->project);
	if (*count > 0 && !g->reading->options->all_packages)
		return 0;
	if (json_array_size(
		json_object_get(json_object_get(g->lock, "manifest"), "members")) > 0)
		*count = 0;
	return take_members(g, roots, count);
}

static int offer_root(const struct json_t *package, struct offered *to)
{
	const json_t *metadata = json_object_get(package, "metadata");
	enum { SOURCES = 3 };
	const json_t *sources[SOURCES] = { json_object_get(package, "dev-dependencies"),
					   json_object_get(package, "dependency-groups"),
					   json_object_get(metadata, "requires-dev") };
	int r = name_list_add_json(&to->extras,
				   json_object_get(package, "optional-dependencies"));
	if (r == 0)
		r = name_list_add_json(&to->extras,
				       json_object_get(metadata, "provides-extras"));
	for (size_t i = 0; r == 0 && i < SOURCES; i++)
		r = name_list_add_json(&to->groups, sources[i]);
	return r;
}

/* [tool.uv] default-groups of the project; "dev" when it does not say. */
static int offer_defaults(struct reading *r, struct offered *to)
{
	cleanup_free char *path = path_join(r->file->project, "pyproject.toml");
	cleanup_json json_t *pyproject = NULL;
	if (!path)
		return -ENOMEM;
	int result = fill_read_toml(r, path, &pyproject);
	if (result == -ENOENT)
		result = 0;
	const json_t *tool = json_object_get(pyproject, "tool");
	const json_t *defaults =
	    json_object_get(json_object_get(tool, "uv"), "default-groups");
	if (result < 0)
		return result;
	if (json_is_string(defaults) && strcmp(json_string_value(defaults), "all") == 0) {
		for (size_t i = 0; result == 0 && i < to->groups.count; i++)
			result = name_list_add(&to->default_groups, to->groups.names[i]);
		return result;
	}
	return json_is_array(defaults) ? name_list_add_json(&to->default_groups, defaults)
				       : name_list_add(&to->default_groups, "dev");
}

static int select_names(struct uv_graph *g, struct uv_package *const *roots, size_t count,
			struct selection *ret)
{
	CLEANUP(offered_release) struct offered offered = { .extras.names = NULL };
	const json_t *manifest = json_object_get(g->lock, "manifest");
	int r = name_list_add_json(&offered.groups,
				   json_object_get(manifest, "dependency-groups"));
	for (size_t i = 0; r == 0 && i < count; i++)
		r = offer_root(roots[i]->json, &offered);
	if (r == 0)
		r = offer_defaults(g->reading, &offered);
	return r == 0 ? selection_make(g->reading, &offered, ret) : r;
}

/* The settings of uv beside the lock: uv.toml, else [tool.uv]. -ENOENT: there are none.
 */
static int read_settings(const struct reading *r, json_t **ret)
{
	cleanup_free char *own = path_join(r->file->folder, "uv.toml");
	cleanup_free char *path = path_join(r->file->folder, "pyproject.toml");
	cleanup_json json_t *pyproject = NULL;
	int result = own && path ? fill_read_toml(r, own, ret) : -ENOMEM;
	if (result != -ENOENT)
		return result;
	result = fill_read_toml(r, path, &pyproject);
	if (result == 0)
		*ret = json_incref(
		    json_object_get(json_object_get(pyproject, "tool"), "uv"));
	return result;
}

static int add_word(void *context, const char *word)
{
	return name_list_add(context, word);
}

/* What uv builds though there are wheels: names, or ":all:". */
static int take_no_binary(const struct reading *r, struct name_list *ret)
{
	const struct lock_options *o = r->options;
	cleanup_json json_t *settings = NULL;
	int result = read_settings(r, &settings);
	bool all = o->no_binary || json_get_bool(settings, "no-binary", false);
	if (result == 0 || result == -ENOENT)
		result = all ? name_list_add(ret, ":all:") : 0;
	if (result == 0)
		result = name_list_add_json(
		    ret, json_object_get(settings, "no-binary-package"));
	return result < 0 ? result
			  : words_each(o->no_binary_packages, " \t\n", add_word, ret);
}

static int add_reached(struct uv_graph *g)
{
	bool no_project = g->reading->options->no_project;
	CLEANUP(name_list_release) struct name_list no_binary = { .names = NULL };
	int r = take_no_binary(g->reading, &no_binary);
	for (size_t i = 0; r == 0 && i < g->count; i++) {
		const struct uv_package *p = &g->packages[i];
		bool left_out = no_project && p == g->project && p->wanted_root;
		bool wanted = (p->wanted_root || p->reached) && !left_out;
		if (wanted && !json_object_get(p->source, "virtual"))
			r = uv_source_add(g->reading, p,
					  name_list_has(&no_binary, ":all:") ||
					      name_list_has(&no_binary, p->name));
	}
	return r;
}

static int walk(struct uv_graph *g)
{
	struct uv_package **roots = NULL;
	CLEANUP(selection_release) struct selection chosen = { .prod = true };
	size_t count = 0;
	bool manifest = false;
	int r = take_roots(g, &roots, &count, &manifest);
	if (r == 0)
		r = select_names(g, roots, count, &chosen);
	if (r == 0)
		r = uv_graph_walk(g, roots, count, &chosen, manifest);
	free(roots);
	return r == 0 ? add_reached(g) : r;
}

int read_uv_lock(struct reading *r, const json_t *lock)
{
	struct uv_graph graph;
	int result = check_version(r, lock);
	if (result == 0)
		result = fill_check_target(r, json_get_text(lock, "requires-python"),
					   json_object_get(lock, "supported-markers"));
	if (result < 0)
		return result;
	result = uv_graph_init(r, lock, &graph);
	if (result == 0)
		result = walk(&graph);
	uv_graph_release(&graph);
	return result;
}
