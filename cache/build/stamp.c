#include "cache/build/stamp.h"

#include "cache/base/file.h"
#include "cache/build/stamp_git.h"
#include "cache/toml/toml.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_PYPROJECT = 16 << 20, MOST_NAMES = 1000000, DEEPEST = 64 };

static json_t *default_keys(void)
{
	return json_pack("[s s s {ss}]", "pyproject.toml", "setup.py", "setup.cfg", "dir",
			 "src");
}

int stamp_keys(const char *folder, json_t **ret_keys)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *pyproject = NULL;
	cleanup_free char *path = path_join(folder, "pyproject.toml");
	if (!path)
		return -ENOMEM;
	/* Without one, or with one that is no TOML, it is the tool's to say so. */
	if (file_read_at(AT_FDCWD, path, LARGEST_PYPROJECT, &text) == 0)
		(void)toml_parse(text.data, text.size, &pyproject, NULL);
	const json_t *tool = json_object_get(pyproject, "tool");
	const json_t *said = json_object_get(json_object_get(tool, "uv"), "cache-keys");
	*ret_keys = json_is_array(said) ? json_deep_copy(said) : default_keys();
	return *ret_keys ? 0 : -ENOMEM;
}

/* What is looked at. */
struct look {
	struct buffer out;
	size_t names; /* seen in folders so far */
};

static int look_at(struct look *look, const char *path, const char *name)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return buffer_printf(&look->out, "%s -\n", name);
	/* The ctime is what uv looks at. */
	return buffer_printf(&look->out, "%s %lld.%09ld %lld.%09ld %lld\n", name,
			     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
			     (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec,
			     (long long)st.st_size);
}

static int match(struct look *look, const char *folder, const char *pattern,
		 unsigned depth);

/* Virtual environments and what Git keeps are no part of a project. */
static bool is_passed_over(const char *path, const char *name)
{
	struct stat st;
	cleanup_free char *config = path_join(path, "pyvenv.cfg");
	return strcmp(name, ".git") == 0 || !config || stat(config, &st) == 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, ordered; none when it cannot be read. */
static int list(struct look *look, const char *folder, char ***ret_names,
		size_t *ret_count)
{
	cleanup_fd int fd = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		char **more = realloc(*ret_names, (*ret_count + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		*ret_names = more;
		more[*ret_count] = strdup(name);
		if (!more[(*ret_count)++])
			return -ENOMEM;
		if (++look->names > MOST_NAMES)
			return -EINVAL;
	}
	if (*ret_count > 0)
		qsort(*ret_names, *ret_count, sizeof(**ret_names), compare_names);
	return 0;
}

/* `rest`: of the pattern, behind this component; NULL: nothing. */
static int match_one(struct look *look, const char *path, const char *rest,
		     unsigned depth)
{
	struct stat st;
	if (!rest)
		return stat(path, &st) == 0 && S_ISREG(st.st_mode)
			   ? look_at(look, path, path)
			   : 0;
	return match(look, path, rest, depth + 1);
}

static int match_name(struct look *look, const char *folder, const char *name,
		      const char *pattern, unsigned depth)
{
	struct stat st;
	cleanup_free char *path = path_join(folder, name);
	const char *slash = strchr(pattern, '/');
	cleanup_free char *component =
	    slash ? strndup(pattern, (size_t)(slash - pattern)) : strdup(pattern);
	if (!path || !component)
		return -ENOMEM;
	if (strcmp(component, "**") == 0)
		return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
			       !is_passed_over(path, name)
			   ? match(look, path, pattern, depth + 1)
			   : 0;
	return fnmatch(component, name, 0) == 0
		   ? match_one(look, path, slash ? slash + 1 : NULL, depth)
		   : 0;
}

/* Adds what the pattern matches below a folder: "*", "?", "[a-z]", and "**" for any
 * folders. */
static int match(struct look *look, const char *folder, const char *pattern,
		 unsigned depth)
{
	char **names = NULL;
	size_t count = 0;
	if (depth > DEEPEST)
		return -EINVAL;
	bool any = strncmp(pattern, "**", 2) == 0 && (!pattern[2] || pattern[2] == '/');
	int r = any ? match(look, folder, pattern[2] ? pattern + 3 : "*", depth + 1) : 0;
	bool up = strncmp(pattern, "../", 3) == 0;
	if (up) {
		cleanup_free char *above = path_join(folder, "..");
		return above ? match(look, above, pattern + 3, depth + 1) : -ENOMEM;
	}
	if (r == 0)
		r = list(look, folder, &names, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = match_name(look, folder, names[i], pattern, depth);
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return r;
}

static int add_file(struct look *look, const char *folder, const char *name)
{
	if (strpbrk(name, "*?[{"))
		return strchr(name, '{') ? -EINVAL : match(look, folder, name, 0);
	cleanup_free char *path = name[0] == '/' ? strdup(name) : path_join(folder, name);
	return path ? look_at(look, path, name) : -ENOMEM;
}

/* When it was made: what is in it does not count. */
static int add_dir(struct look *look, const char *folder, const char *name)
{
	struct statx st;
	cleanup_free char *path = path_join(folder, name);
	if (!path)
		return -ENOMEM;
	if (statx(AT_FDCWD, path, 0, STATX_BTIME | STATX_INO, &st) < 0)
		return buffer_printf(&look->out, "%s/ -\n", name);
	return buffer_printf(&look->out, "%s/ %llu %lld.%09u\n", name,
			     (unsigned long long)st.stx_ino,
			     (long long)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
}

static int add_git(struct look *look, const char *folder, const json_t *git)
{
	if (json_is_boolean(git))
		return stamp_git(folder, json_is_true(git), false, &look->out);
	return json_is_object(git)
		   ? stamp_git(folder, json_get_bool(git, "commit", false),
			       json_get_bool(git, "tags", false), &look->out)
		   : -EINVAL;
}

static int add_key(struct look *look, const char *folder, const json_t *key)
{
	const char *file =
	    json_is_string(key) ? json_string_value(key) : json_get_text(key, "file");
	const char *dir = json_get_text(key, "dir");
	const char *env = json_get_text(key, "env");
	if (file)
		return add_file(look, folder, file);
	if (dir)
		return add_dir(look, folder, dir);
	if (env) {
		const char *value = getenv(env);
		return buffer_printf(&look->out, "$%s=%s\n", env, value ? value : "");
	}
	return add_git(look, folder, json_object_get(key, "git"));
}

int stamp_take(const char *folder, const json_t *keys, struct digest *ret)
{
	struct look look = { .out = BUFFER_INIT };
	size_t i;
	json_t *key;
	/* What the keys themselves are read from. */
	int r = add_file(&look, folder, "pyproject.toml");
	json_array_foreach(keys, i, key)
	{
		if (r == 0)
			r = add_key(&look, folder, key);
	}
	if (r == 0)
		*ret = digest_of(look.out.data, look.out.size);
	buffer_release(&look.out);
	return json_is_array(keys) ? r : -EINVAL;
}
