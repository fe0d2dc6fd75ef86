#include "cache/env/lock/requirement_direct.h"

#include "cache/base/file.h"
#include "cache/base/shown.h"
#include "cache/source/ini.h"
#include "cache/source/words.h"
#include "cache/version/version.h"
#include "cache/wheel/wheel_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(const struct reading *r, const struct requirement_line *line,
		  const char *why)
{
	cleanup_free char *shown = text_shown(line->text);
	return error_set(r->reterr, -EINVAL, "'%s', line %u: '%.200s' %s", line->file,
			 line->line, shown ? shown : "", why);
}

static size_t archive_ending(const char *file)
{
	static const char *const endings[] = { ".tar.gz",  ".tgz",    ".zip",
					       ".tar.bz2", ".tar.xz", ".tar" };
	size_t size = strlen(file);
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		size_t ending = strlen(endings[i]);
		if (size > ending && strcmp(file + size - ending, endings[i]) == 0)
			return ending;
	}
	return 0;
}

bool requirement_is_place(const char *text)
{
	size_t size = strcspn(text, " \t;[");
	cleanup_free char *word = strndup(text, size);
	if (!word || word[0] == '.' || word[0] == '/')
		return true;
	size_t name = strcspn(word, "@");
	return memchr(word, '/', name) != NULL || strncmp(word, "file:", 5) == 0 ||
	       (name == size && (fill_is_wheel(word) || archive_ending(word) > 0));
}

static int take_setup_name(void *context, const char *section, const char *key,
			   const char *value)
{
	char **name = context;
	if (strcmp(section, "metadata") != 0 || strcmp(key, "name") != 0)
		return 0;
	free(*name);
	*name = strdup(value);
	return *name ? 0 : -ENOMEM;
}

/* -ENOENT: it says none either. */
static int name_of_setup_cfg(struct reading *r, const char *path, char **ret)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_free char *name = NULL;
	cleanup_free char *file = path_join(path, "setup.cfg");
	int result = file ? fill_read_file(r, file, &text) : -ENOMEM;
	if (result == 0)
		result = ini_parse((const char *)text.data, text.size, take_setup_name,
				   &name, r->reterr);
	if (result < 0)
		return result;
	return name ? fill_name(r, name, ret) : -ENOENT;
}

/* What only a build tells is called as its place is. */
static int name_of_place(const char *place, size_t size, struct wanted_dist *dist,
			 bool *ret_unnamed)
{
	char *name = calloc(1, WANTED_NAME + 1);
	size_t used = 0;
	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < size && used < WANTED_NAME; i++) {
		char c = char_lower(place[i]);
		bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (plain || (used > 0 && name[used - 1] != '-'))
			name[used++] = plain ? c : '-';
	}
	while (used > 0 && name[used - 1] == '-')
		name[--used] = '\0';
	if (used == 0)
		strcpy(name, "unnamed");
	dist->name = name;
	*ret_unnamed = true;
	return 0;
}

static int name_of_folder(const struct reading *r, const char *path,
			  struct wanted_dist *dist, bool *ret_unnamed)
{
	cleanup_free char *pyproject = path_join(path, "pyproject.toml");
	cleanup_free char *setup = path_join(path, "setup.py");
	cleanup_free char *file = fill_file_name(path);
	if (!pyproject || !setup || !file)
		return -ENOMEM;
	if (access(pyproject, F_OK) < 0 && access(setup, F_OK) < 0)
		return error_set(r->reterr, -EINVAL,
				 "'%s' has neither a pyproject.toml nor a setup.py, so "
				 "it is no project",
				 path);
	return name_of_place(file, strlen(file), dist, ret_unnamed);
}

/* The name that a project's own directory says in its pyproject.toml or setup.cfg. */
static int name_of_directory(struct reading *r, const char *path,
			     struct wanted_dist *dist, bool *ret_unnamed)
{
	cleanup_free char *file = path_join(path, "pyproject.toml");
	cleanup_json json_t *pyproject = NULL;
	int result = file ? fill_read_toml(r, file, &pyproject) : -ENOMEM;
	if (result < 0 && result != -ENOENT)
		return result;
	const json_t *tool = json_object_get(pyproject, "tool");
	const char *name = json_get_text(json_object_get(pyproject, "project"), "name");
	if (!name)
		name = json_get_text(json_object_get(tool, "poetry"), "name");
	if (name)
		return fill_name(r, name, &dist->name);
	result = name_of_setup_cfg(r, path, &dist->name);
	return result == -ENOENT ? name_of_folder(r, path, dist, ret_unnamed) : result;
}

/* "name-1.0.tar.gz"; others, "main.zip" say, tell neither. */
static int name_of_archive(struct reading *r, const char *file, struct wanted_dist *dist,
			   bool *ret_unnamed)
{
	struct version parsed;
	size_t size = strlen(file) - archive_ending(file);
	size_t dash = size;
	while (dash > 0 && file[dash - 1] != '-')
		dash--;
	if (dash < 2 || !version_parse(file + dash, size - dash, &parsed))
		return name_of_place(file, size, dist, ret_unnamed);
	cleanup_free char *name = strndup(file, dash - 1);
	cleanup_free char *version = strndup(file + dash, size - dash);
	if (!name || !version)
		return -ENOMEM;
	int result = fill_name(r, name, &dist->name);
	return result == 0 ? fill_text(r, version, &dist->version) : result;
}

static int name_of_wheel(struct reading *r, const char *file, char **ret)
{
	struct wheel_name name;
	if (wheel_name_parse(file, &name, NULL) < 0)
		return fill_bad(r, "'%.200s' is no name of a wheel", file);
	return fill_name(r, name.distribution, ret);
}

static int copy_hashes(const struct reading *r, const struct wanted_bytes *from,
		       struct wanted_bytes *to)
{
	to->has_sha256 = from->has_sha256;
	to->sha256 = from->sha256;
	return from->other_count > 0
		   ? fill_hash(r, from->others[0].algorithm, from->others[0].hex, to)
		   : 0;
}

/* "#sha256=...", "#egg=name" and "#subdirectory=x", parts with "&" between. */
static char *fragment_value(const char *place, const char *key)
{
	size_t key_size = strlen(key);
	const char *p = strchr(place, '#');
	while (p && *p) {
		p++;
		size_t size = strcspn(p, "&");
		if (size > key_size && strncmp(p, key, key_size) == 0 &&
		    p[key_size] == '=')
			return fill_decode(p + key_size + 1, size - key_size - 1);
		p += size;
	}
	return NULL;
}

int requirement_copy_hashes(const struct reading *r, const struct requirement_line *line,
			    struct wanted_dist *dist)
{
	if (line->hash_count == 0)
		return 0;
	dist->hashes = calloc(line->hash_count, sizeof(*dist->hashes));
	int result = dist->hashes ? 0 : -ENOMEM;
	for (size_t i = 0; result == 0 && i < line->hash_count; i++) {
		dist->hashes[i].size = -1;
		dist->hash_count++;
		result = copy_hashes(r, &line->hashes[i], &dist->hashes[i]);
	}
	return result;
}

static int take_hashes(const struct reading *r, const struct requirement_line *line,
		       const char *place, struct wanted_dist *dist,
		       struct wanted_bytes *to)
{
	cleanup_free char *sha256 = fragment_value(place, "sha256");
	int result = sha256 ? fill_hash(r, "sha256", sha256, to) : 0;
	if (result < 0)
		return result;
	if (!sha256 && line->hash_count == 0)
		return r->wanted->require_hashes
			   ? refuse(r, line, "has no hash, and --require-hashes is set")
			   : 0;
	if (!sha256 && line->hash_count == 1)
		return copy_hashes(r, &line->hashes[0], to);
	/* Any of several will do, as pip has it. */
	return requirement_copy_hashes(r, line, dist);
}

static int add_wheel(struct reading *r, const struct requirement_line *line,
		     const char *place, const char *url, struct wanted_dist *dist)
{
	struct wanted_wheel wheel = { .bytes = { .size = -1 } };
	int result = fill_place(r, r->file->project, url ? NULL : place, url, &wheel.path,
				&wheel.url);
	cleanup_free char *file =
	    result == 0 ? fill_file_name(wheel.path ? wheel.path : wheel.url) : NULL;
	if (result == 0 && !file)
		result = -ENOMEM;
	if (result == 0 && !dist->name)
		result = name_of_wheel(r, file, &dist->name);
	if (result == 0)
		result = take_hashes(r, line, place, dist, &wheel.bytes);
	if (result == 0)
		return fill_add_wheel(r, dist, &wheel);
	wanted_wheel_release(&wheel);
	return result;
}

static int add_archive(struct reading *r, const struct requirement_line *line,
		       const char *place, const char *location, struct wanted_dist *dist)
{
	cleanup_free char *file = fill_file_name(location);
	bool unnamed = false;
	int result = !file        ? -ENOMEM
		     : dist->name ? 0
				  : name_of_archive(r, file, dist, &unnamed);
	struct wanted_source *source =
	    result == 0 ? fill_new_source(dist, WANTED_SDIST) : NULL;
	cleanup_free char *subdirectory = fragment_value(place, "subdirectory");
	if (!source)
		return result < 0 ? result : -ENOMEM;
	source->unnamed = unnamed;
	result = fill_text(r, location, &source->path_or_url);
	if (result == 0)
		result = take_hashes(r, line, place, dist, &source->bytes);
	return result == 0 ? fill_text(r, subdirectory, &source->subdirectory) : result;
}

static int add_directory(struct reading *r, const struct requirement_line *line,
			 const char *place, const char *path, struct wanted_dist *dist)
{
	bool unnamed = false;
	int result = dist->name ? 0 : name_of_directory(r, path, dist, &unnamed);
	struct wanted_source *source =
	    result == 0 ? fill_new_source(dist, WANTED_DIRECTORY) : NULL;
	cleanup_free char *subdirectory = fragment_value(place, "subdirectory");
	if (!source)
		return result < 0 ? result : -ENOMEM;
	source->unnamed = unnamed;
	source->editable = line->editable && !r->options->no_editable;
	result = fill_text(r, path, &source->path_or_url);
	return result == 0 ? fill_text(r, subdirectory, &source->subdirectory) : result;
}

/* "git+https://host/repository@commit#egg=name" */
static int add_git(struct reading *r, const struct requirement_line *line,
		   const char *place, struct wanted_dist *dist)
{
	cleanup_free char *url = strndup(place + 4, strcspn(place + 4, "#"));
	cleanup_free char *egg = fragment_value(place, "egg");
	cleanup_free char *subdirectory = fragment_value(place, "subdirectory");
	if (!url)
		return -ENOMEM;
	char *slash = strrchr(url, '/');
	char *at = slash ? strchr(slash, '@') : NULL;
	if (!at || !fill_is_commit(at + 1))
		return refuse(r, line,
			      "is not pinned to a commit: write '@' and all of "
			      "its hash behind the repository");
	*at = '\0';
	bool unnamed = false;
	size_t ending = strlen(slash) > 5 && strcmp(at - 4, ".git") == 0 ? 4 : 0;
	int result =
	    dist->name ? 0
	    : egg      ? fill_name(r, egg, &dist->name)
		  : name_of_place(slash + 1, strlen(slash + 1) - ending, dist, &unnamed);
	struct wanted_source *source =
	    result == 0 ? fill_new_source(dist, WANTED_GIT) : NULL;
	if (!source)
		return result < 0 ? result : -ENOMEM;
	source->unnamed = unnamed;
	result = fill_text(r, url, &source->path_or_url);
	if (result == 0)
		result = fill_text(r, at + 1, &source->commit);
	if (result == 0)
		result = fill_text(r, at + 1, &source->revision);
	return result == 0 ? fill_text(r, subdirectory, &source->subdirectory) : result;
}

/* What is meant depends on what lies there. */
static int add_location(struct reading *r, const struct requirement_line *line,
			const char *place, struct wanted_dist *dist)
{
	bool is_url = strstr(place, "://") || strncmp(place, "file:", 5) == 0;
	cleanup_free char *plain = strndup(place, strcspn(place, "#"));
	cleanup_free char *path = NULL;
	cleanup_free char *url = NULL;
	struct stat st;
	if (!plain)
		return -ENOMEM;
	int result = fill_place(r, r->file->project, is_url ? NULL : plain,
				is_url ? plain : NULL, &path, &url);
	if (result < 0)
		return result;
	const char *location = path ? path : url;
	cleanup_free char *file = fill_file_name(location);
	if (!file)
		return -ENOMEM;
	if (fill_is_wheel(file))
		return add_wheel(r, line, place, url, dist);
	if (archive_ending(file) > 0)
		return add_archive(r, line, place, location, dist);
	if (path && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return add_directory(r, line, place, path, dist);
	return refuse(r, line,
		      path ? "is neither a wheel, nor an archive, nor a directory"
			   : "is neither a wheel nor an archive");
}

/* "[a,b]" at the end of a path. */
static void drop_extras(char *place)
{
	size_t size = strlen(place);
	char *open = strrchr(place, '[');
	if (open && size > 0 && place[size - 1] == ']')
		*open = '\0';
}

int requirement_add_place(struct reading *r, const struct requirement_line *line,
			  const char *name, const char *place)
{
	struct wanted_dist dist = { .direct = true };
	cleanup_free char *copy = strdup(place);
	int result = copy ? 0 : -ENOMEM;
	if (result == 0 && name)
		result = fill_name(r, name, &dist.name);
	if (result == 0) {
		drop_extras(copy);
		result = strncmp(copy, "git+", 4) == 0
			     ? add_git(r, line, copy, &dist)
			     : add_location(r, line, copy, &dist);
	}
	if (result == 0)
		return fill_dist_done(r, &dist);
	wanted_dist_release(&dist);
	return result;
}
