#include "cli/export_stage.h"

#include "cache/base/file.h"
#include "fusefs/serve/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

enum { TRIES = 16 };

/* mkdir for each missing component of the parent; counts them. */
static int make_parents(const char *path, int *ret_made)
{
	cleanup_free char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(copy, 0777) == 0)
			(*ret_made)++;
		else if (errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

static void remove_parents(const struct export_stage *s)
{
	cleanup_free char *copy = strdup(s->path);
	for (int i = 0; copy && i < s->made; i++) {
		*strrchr(copy, '/') = '\0';
		if (rmdir(copy) < 0)
			return;
	}
}

static int check_target(const struct export_stage *s, bool clear, struct error *reterr)
{
	char type[64];
	struct stat st;
	if (device_look(s->path, type) != MOUNTED_NO)
		return error_set(reterr, -EBUSY,
				 "'%s' is mounted (%s); unmount it first, or export to "
				 "another directory",
				 s->path, type);
	if (fstatat(s->parent, s->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT
			   ? 0
			   : error_errno(reterr, -errno, "cannot look at '%s'", s->path);
	if (!S_ISDIR(st.st_mode))
		return error_set(reterr, -ENOTDIR, "'%s' is no directory", s->path);
	cleanup_fd int fd =
	    file_open_beneath(s->parent, s->name, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	while (dir && !clear && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return error_set(reterr, -ENOTEMPTY,
					 "'%s' is not empty; --clear puts the new "
					 "environment in its place",
					 s->path);
	}
	return dir || clear ? 0
			    : error_errno(reterr, fd < 0 ? fd : -errno,
					  "cannot list '%s'", s->path);
}

/* Whoever makes one holds a lock on it, which ends with the process. */
static void sweep(const struct export_stage *s, const char *prefix)
{
	cleanup_dir DIR *dir = file_list_dir(s->parent);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		cleanup_fd int fd = file_open_beneath(s->parent, entry->d_name,
						      O_RDONLY | O_DIRECTORY, 0);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)file_remove_tree_at(s->parent, entry->d_name);
	}
}

static int make_aside(struct export_stage *s, const char *prefix)
{
	for (int i = 0; i < TRIES; i++) {
		uint32_t number;
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			return -errno;
		free(s->aside);
		if (asprintf(&s->aside, "%s%08x", prefix, number) < 0) {
			s->aside = NULL;
			return -ENOMEM;
		}
		if (mkdirat(s->parent, s->aside, 0700) == 0)
			break;
		int r = -errno;
		free(steal_ptr(s->aside));
		if (r != -EEXIST)
			return r;
	}
	if (!s->aside)
		return -EEXIST;
	s->dir = file_open_beneath(s->parent, s->aside, O_RDONLY | O_DIRECTORY, 0);
	if (s->dir < 0)
		return s->dir;
	(void)flock(s->dir, LOCK_EX | LOCK_NB); /* some disks know no locks */
	return 0;
}

static int split(struct export_stage *s, const char *path)
{
	const char *slash = strrchr(path, '/');
	s->path = strdup(path);
	s->name = strdup(slash + 1);
	return s->path && s->name ? 0 : -ENOMEM;
}

static int open_parent(struct export_stage *s, struct error *reterr)
{
	cleanup_free char *parent = strdup(s->path);
	int r = parent ? make_parents(s->path, &s->made) : -ENOMEM;
	if (r == 0) {
		char *slash = strrchr(parent, '/');
		slash[slash == parent] = '\0';
		r = s->parent = file_open(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY, 0);
	}
	return r < 0 ? error_errno(reterr, r, "cannot make '%s'", s->path) : 0;
}

int export_stage_begin(const char *path, bool clear, struct export_stage *ret,
		       struct error *reterr)
{
	CLEANUP(export_stage_release) struct export_stage s = EXPORT_STAGE_INIT;
	cleanup_free char *prefix = NULL;
	int r = split(&s, path);
	if (r == 0 && (!*s.name || asprintf(&prefix, ".%s.venvfs-", s.name) < 0)) {
		prefix = NULL;
		r = *s.name ? -ENOMEM : error_set(reterr, -EBUSY, "not to '/'");
	}
	if (r == 0)
		r = open_parent(&s, reterr);
	if (r == 0)
		r = check_target(&s, clear, reterr);
	if (r < 0)
		return r;
	sweep(&s, prefix);
	r = make_aside(&s, prefix);
	if (r < 0)
		return error_errno(reterr, r, "cannot write beside '%s'", path);
	*ret = s;
	s = EXPORT_STAGE_INIT;
	return 0;
}

/* What was there is gone from its place in the same step, then removed. */
static int exchange(struct export_stage *s)
{
	if (renameat2(s->parent, s->aside, s->parent, s->name, RENAME_EXCHANGE) == 0)
		return file_remove_tree_at(s->parent, s->aside);
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A disk that cannot exchange. */
	int r = file_remove_tree_at(s->parent, s->name);
	if (r == 0 && renameat(s->parent, s->aside, s->parent, s->name) < 0)
		r = -errno;
	return r;
}

int export_stage_commit(struct export_stage *s, struct error *reterr)
{
	int r = fchmod(s->dir, 0755) < 0 ? -errno : 0;
	/* Onto nothing, or onto an empty directory. */
	if (r == 0 && renameat(s->parent, s->aside, s->parent, s->name) < 0)
		r = errno == ENOTEMPTY || errno == EEXIST ? exchange(s) : -errno;
	if (r < 0)
		return error_errno(reterr, r, "cannot put '%s' in its place", s->path);
	free(steal_ptr(s->aside));
	s->made = 0;
	return 0;
}

void export_stage_release(struct export_stage *s)
{
	if (s->aside)
		(void)file_remove_tree_at(s->parent, s->aside);
	if (s->made > 0)
		remove_parents(s);
	cleanup_close_fn(&s->dir);
	cleanup_close_fn(&s->parent);
	free(s->aside);
	free(s->name);
	free(s->path);
	*s = EXPORT_STAGE_INIT;
}
