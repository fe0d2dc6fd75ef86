#include "cache/env/lock/lock.h"

#include "cache/base/shown.h"
#include "cache/env/lock/fill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lock_file_release(struct lock_file *file)
{
	free(file->path);
	free(file->folder);
	free(file->project);
	*file = (struct lock_file){ .path = NULL };
}

/* pylock.toml and pylock.<name>.toml, whose name has no dot. */
static bool is_pylock_name(const char *name)
{
	size_t size = strlen(name);
	if (strcmp(name, "pylock.toml") == 0)
		return true;
	return size > 12 && strncmp(name, "pylock.", 7) == 0 &&
	       strcmp(name + size - 5, ".toml") == 0 && !memchr(name + 7, '.', size - 12);
}

static int take(enum lock_kind kind, const char *path, const char *project,
		struct lock_file *ret)
{
	struct lock_file file = { .kind = kind, .path = strdup(path) };
	file.folder = fill_clean_path(path, "..");
	file.project = project       ? strdup(project)
		       : file.folder ? strdup(file.folder)
				     : NULL;
	if (!file.path || !file.folder || !file.project) {
		lock_file_release(&file);
		return -ENOMEM;
	}
	*ret = file;
	return 0;
}

/* A path of that spelling there may be; nobody means it. */
static int refuse_url(const char *path, struct error *reterr)
{
	cleanup_free char *shown = url_shown(path);
	if (!strstr(path, "://"))
		return 0;
	return error_set(reterr, -EINVAL,
			 "'%s' is a URL, and locks are not fetched: download it first "
			 "(curl -O), and name the file",
			 shown ? shown : "");
}

static int absolute(const char *path, char **ret)
{
	cleanup_free char *here = getcwd(NULL, 0);
	if (!here)
		return -errno;
	*ret = fill_clean_path(here, path);
	return *ret ? 0 : -ENOMEM;
}

/* 1: it has one; 0 or an error. */
static int look_for(const char *folder, const char *name, enum lock_kind kind,
		    const char *project, struct lock_file *ret)
{
	cleanup_free char *path = fill_clean_path(folder, name);
	if (!path)
		return -ENOMEM;
	if (access(path, F_OK) < 0)
		return 0;
	int r = take(kind, path, project, ret);
	return r < 0 ? r : 1;
}

static int look_in(const char *folder, const char *project, struct lock_file *ret)
{
	const bool own = !project || strcmp(folder, project) == 0;
	int r = 0;
	if (own)
		r = look_for(folder, "pylock.toml", LOCK_PYLOCK, folder, ret);
	if (r == 0)
		r = look_for(folder, "uv.lock", LOCK_UV, project ? project : folder, ret);
	if (r == 0 && own)
		r = look_for(folder, "requirements.txt", LOCK_REQUIREMENTS, folder, ret);
	return r;
}

static bool has_pyproject(const char *folder)
{
	cleanup_free char *path = fill_clean_path(folder, "pyproject.toml");
	return path && access(path, F_OK) == 0;
}

static int nothing_found(const char *directory, const char *project, struct error *reterr)
{
	if (project)
		return error_set(
		    reterr, -ENOENT,
		    "the project in '%s' has no lock file: run 'uv lock' there, or name "
		    "one with --lock or -r",
		    project);
	return error_set(
	    reterr, -ENOENT,
	    "there is no pylock.toml, uv.lock or requirements.txt in '%s' or "
	    "above it; name wheels, or a file with --lock or -r",
	    directory);
}

static int to_parent(char **folder)
{
	char *parent = fill_clean_path(*folder, "..");
	free(*folder);
	*folder = parent;
	return parent ? 0 : -ENOMEM;
}

/* The nearest directory upward that says that it is a project; NULL: none does. */
static int find_project(const char *start, char **ret)
{
	cleanup_free char *folder = strdup(start);
	int r = folder ? 0 : -ENOMEM;
	while (r == 0 && !has_pyproject(folder)) {
		if (strcmp(folder, "/") == 0)
			return 0;
		r = to_parent(&folder);
	}
	if (r == 0)
		*ret = steal_ptr(folder);
	return r;
}

int lock_find(const char *directory, struct lock_file *ret, struct error *reterr)
{
	cleanup_free char *start = NULL;
	cleanup_free char *folder = NULL;
	cleanup_free char *project = NULL;
	int r = absolute(directory, &start);
	if (r == 0)
		r = find_project(start, &project);
	/* What lies deeper, a requirements.txt of docs/, is not the project's lock. */
	if (r == 0)
		r = (folder = strdup(project ? project : start)) ? 0 : -ENOMEM;
	while (r == 0) {
		r = look_in(folder, project, ret);
		if (r != 0 || strcmp(folder, "/") == 0)
			break;
		r = to_parent(&folder);
	}
	if (r == 0)
		return nothing_found(start, project, reterr);
	return r < 0 ? error_errno(reterr, r, "cannot look for a lock file in '%s'",
				   directory)
		     : 0;
}

int lock_name(const char *path, struct lock_file *ret, struct error *reterr)
{
	cleanup_free char *clean = NULL;
	int r = refuse_url(path, reterr);
	if (r < 0)
		return r;
	r = absolute(path, &clean);
	if (r < 0)
		return error_errno(reterr, r, "cannot find '%s'", path);
	const char *name = strrchr(clean, '/') + 1;
	size_t size = strlen(name);
	if (is_pylock_name(name))
		return take(LOCK_PYLOCK, clean, NULL, ret);
	if (strcmp(name, "uv.lock") == 0)
		return take(LOCK_UV, clean, NULL, ret);
	if (size > 4 && strcmp(name + size - 4, ".txt") == 0)
		return lock_name_requirements(path, ret, reterr);
	return error_set(
	    reterr, -EINVAL,
	    "'%s' is named like no lock file that is known: pylock.toml, "
	    "pylock.NAME.toml, uv.lock; a requirements file is named with -r",
	    path);
}

int lock_name_requirements(const char *path, struct lock_file *ret, struct error *reterr)
{
	cleanup_free char *here = getcwd(NULL, 0);
	cleanup_free char *clean = NULL;
	int url = refuse_url(path, reterr);
	if (url < 0)
		return url;
	int r = here ? absolute(path, &clean) : -errno;
	if (r == 0)
		r = take(LOCK_REQUIREMENTS, clean, here, ret);
	return r < 0 ? error_errno(reterr, r, "cannot find '%s'", path) : 0;
}
