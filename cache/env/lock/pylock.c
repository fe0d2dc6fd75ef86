/*
 * pylock.toml, PEP 751. What is to be installed is decided package by package, by markers
 * alone: the file says nothing of why a package is there.
 */
#include "cache/env/lock/fill.h"
#include "cache/env/lock/selection.h"
#include "cache/wheel/wheel_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_version(const struct reading *r, const json_t *lock)
{
	const char *text = json_get_text(lock, "lock-version");
	struct version v;
	if (!text || !version_parse(text, strlen(text), &v))
		return fill_bad(r, "it has no lock-version, so it is no pylock.toml");
	if (v.epoch != 0 || v.release[0] != 1)
		return fill_bad(r,
				"its lock-version is %.20s, and this venvfs knows 1; "
				"make it again with the tool that made it",
				text);
	if (v.release[1] > 0)
		return fill_warn(r,
				 "its lock-version is %.20s; what is newer than 1.0 "
				 "in it is not looked at",
				 text);
	return 0;
}

/* PEP 751 has hashes in each table of a file. */
static int take_bytes(const struct reading *r, const json_t *table, const char *name,
		      struct wanted_bytes *to)
{
	int result = fill_bytes(r, table, to);
	return result == 0 && !to->has_sha256 && to->other_count == 0
		   ? fill_bad(r, "'%.200s' has no hashes", name)
		   : result;
}

static int add_wheels(const struct reading *r, const json_t *package,
		      struct wanted_dist *dist)
{
	size_t i;
	json_t *table;
	json_array_foreach(json_object_get(package, "wheels"), i, table)
	{
		struct wanted_wheel wheel = { .name = NULL };
		int result = fill_text(r, json_get_text(table, "name"), &wheel.file);
		if (result == 0)
			result = fill_place(
			    r, r->file->folder, json_get_text(table, "path"),
			    json_get_text(table, "url"), &wheel.path, &wheel.url);
		if (result == 0)
			result = take_bytes(r, table, dist->name, &wheel.bytes);
		if (result == 0)
			result = fill_text(r, json_get_text(package, "index"),
					   &wheel.index_url);
		if (result < 0) {
			wanted_wheel_release(&wheel);
			return result;
		}
		result = fill_add_wheel(r, dist, &wheel);
		if (result < 0)
			return result;
	}
	return 0;
}

static int add_directory(const struct reading *r, const json_t *table,
			 struct wanted_dist *dist)
{
	struct wanted_source *source = fill_new_source(dist, WANTED_DIRECTORY);
	if (!source)
		return -ENOMEM;
	dist->direct = true;
	source->says_editable = json_object_get(table, "editable") != NULL;
	source->editable =
	    json_get_bool(table, "editable", false) && !r->options->no_editable;
	int result = fill_place(r, r->file->folder, json_get_text(table, "path"), NULL,
				&source->path_or_url, &source->index_url);
	return result < 0 ? result
			  : fill_text(r, json_get_text(table, "subdirectory"),
				      &source->subdirectory);
}

static int add_vcs(const struct reading *r, const json_t *table, struct wanted_dist *dist)
{
	const char *type = json_get_text(table, "type");
	struct wanted_source *source = fill_new_source(dist, WANTED_GIT);
	if (!source)
		return -ENOMEM;
	dist->direct = true;
	if (!type || strcmp(type, "git") != 0)
		return fill_refuse(r, "%s comes from %.20s, and only Git is known here",
				   dist->name, type ? type : "nowhere");
	int result = fill_location(r, r->file->folder, table, &source->path_or_url);
	if (result == 0)
		result = fill_text(r, json_get_text(table, "commit-id"), &source->commit);
	if (result == 0)
		result = fill_text(r, json_get_text(table, "requested-revision"),
				   &source->revision);
	if (result == 0)
		result = fill_text(r, json_get_text(table, "subdirectory"),
				   &source->subdirectory);
	return result == 0 && !(source->commit && fill_is_commit(source->commit))
		   ? fill_bad(r, "%s has no commit-id", dist->name)
		   : result;
}

static int add_sdist(const struct reading *r, const json_t *table, const char *index,
		     struct wanted_dist *dist)
{
	struct wanted_source *source = fill_new_source(dist, WANTED_SDIST);
	if (!source)
		return -ENOMEM;
	int result = fill_location(r, r->file->folder, table, &source->path_or_url);
	if (result == 0)
		result = take_bytes(r, table, dist->name, &source->bytes);
	if (result == 0)
		result = fill_text(r, index, &source->index_url);
	return result < 0 ? result
			  : fill_text(r, json_get_text(table, "subdirectory"),
				      &source->subdirectory);
}

/* Of a wheel or of source. */
static int add_archive(const struct reading *r, const json_t *table,
		       struct wanted_dist *dist)
{
	struct wanted_wheel wheel = { .name = NULL };
	int result = fill_place(r, r->file->folder, json_get_text(table, "path"),
				json_get_text(table, "url"), &wheel.path, &wheel.url);
	dist->direct = true;
	if (result == 0) {
		wheel.file = fill_file_name(wheel.path ? wheel.path : wheel.url);
		result = wheel.file ? 0 : -ENOMEM;
	}
	bool is_wheel = result == 0 && fill_is_wheel(wheel.file);
	if (is_wheel)
		result = take_bytes(r, table, wheel.file, &wheel.bytes);
	if (result == 0 && is_wheel)
		return fill_add_wheel(r, dist, &wheel);
	wanted_wheel_release(&wheel);
	return result < 0 ? result : add_sdist(r, table, NULL, dist);
}

static int fill_package(const struct reading *r, const json_t *package,
			struct wanted_dist *dist)
{
	const json_t *vcs = json_object_get(package, "vcs");
	const json_t *directory = json_object_get(package, "directory");
	const json_t *archive = json_object_get(package, "archive");
	const json_t *sdist = json_object_get(package, "sdist");
	bool index = sdist || json_object_get(package, "wheels");
	if ((vcs != NULL) + (directory != NULL) + (archive != NULL) + index != 1)
		return fill_bad(r,
				"%s must have one of vcs, directory, archive, and sdist "
				"or wheels",
				dist->name);
	if (vcs)
		return add_vcs(r, vcs, dist);
	if (directory)
		return add_directory(r, directory, dist);
	if (archive)
		return add_archive(r, archive, dist);
	int result = add_wheels(r, package, dist);
	if (result == 0 && sdist && dist->wheel_count == 0)
		result = add_sdist(r, sdist, json_get_text(package, "index"), dist);
	return result;
}

static int check_python(const struct reading *r, const json_t *package)
{
	const char *python = json_get_text(package, "requires-python");
	int fits = python ? target_python_fits(r->target, python) : 1;
	if (fits > 0)
		return 0;
	return fits < 0
		   ? fill_bad(r, "a requires-python in it, '%.100s', is none", python)
		   : fill_refuse(r, "%s is for Python %.100s, and this is %s",
				 json_get_text(package, "name"), python,
				 r->target->interpreter->version);
}

static int add_package(struct reading *r, const struct marker_environment *environment,
		       const json_t *package)
{
	struct wanted_dist dist = { .name = NULL };
	const char *name = json_get_text(package, "name");
	if (!name)
		return fill_bad(r, "a package in it has no name");
	int holds = fill_marker(r, environment, json_get_text(package, "marker"));
	if (holds <= 0)
		return holds;
	int result = fill_name(r, name, &dist.name);
	if (result == 0)
		result = check_python(r, package);
	if (result == 0)
		result = fill_text(r, json_get_text(package, "version"), &dist.version);
	if (result == 0)
		result = fill_package(r, package, &dist);
	if (result == 0)
		return fill_dist_done(r, &dist);
	wanted_dist_release(&dist);
	return result;
}

static int select_names(const struct reading *r, const json_t *lock,
			struct selection *ret)
{
	CLEANUP(offered_release) struct offered offered = { .extras.names = NULL };
	if (r->options->only_groups.count > 0 || r->options->only_dev)
		return fill_refuse(r, "what groups bring alone cannot be told from a "
				      "pylock.toml");
	int result = name_list_add_json(&offered.extras, json_object_get(lock, "extras"));
	if (result == 0)
		result = name_list_add_json(&offered.groups,
					    json_object_get(lock, "dependency-groups"));
	if (result == 0)
		result = name_list_add_json(&offered.default_groups,
					    json_object_get(lock, "default-groups"));
	return result == 0 ? selection_make(r, &offered, ret) : result;
}

static int add_packages(struct reading *r, const json_t *packages,
			const struct selection *chosen)
{
	const struct marker_set extras = name_list_set(&chosen->extras);
	const struct marker_set groups = name_list_set(&chosen->groups);
	struct marker_environment environment = r->target->markers;
	size_t i;
	json_t *package;
	int result = 0;
	environment.extra = NULL;
	environment.extras = &extras;
	environment.groups = &groups;
	json_array_foreach(packages, i, package)
	{
		if (result == 0)
			result = add_package(r, &environment, package);
	}
	return result;
}

int read_pylock(struct reading *r, const json_t *lock)
{
	const json_t *packages = json_object_get(lock, "packages");
	CLEANUP(selection_release) struct selection chosen = { .prod = true };
	int result = check_version(r, lock);
	if (result == 0 && !json_is_array(packages))
		result = fill_bad(r, "it has no packages, so it is no pylock.toml");
	if (result == 0)
		result = fill_check_target(r, json_get_text(lock, "requires-python"),
					   json_object_get(lock, "environments"));
	if (result == 0)
		result = select_names(r, lock, &chosen);
	return result == 0 ? add_packages(r, packages, &chosen) : result;
}
