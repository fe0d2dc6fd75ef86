#include "cli/mount_point.h"

#include "cache/base/file.h"
#include "cli/behalf.h"
#include "fusefs/serve/dead.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int say_whose(const char *path, struct error *reterr)
{
	char name[64];
	uid_t uid;
	if (!mounts_user_at(path, &uid) || uid == geteuid())
		return error_set(reterr, -EBUSY,
				 "'%s' is mounted already, with its state elsewhere "
				 "(XDG_STATE_HOME, HOME); to end it: venvfs unmount '%s'",
				 path, path);
	behalf_name(uid, name);
	return error_set(reterr, -EBUSY, "'%s' is mounted already, by %s", path, name);
}

int mount_point_clear(const struct state *state, const char *path,
		      const struct broker *broker, struct error *reterr)
{
	enum { STACKED_MOST = 16 };
	for (int i = 0; i < STACKED_MOST; i++) {
		char type[64];
		enum mounted mounted = device_look(path, type);
		if (mounted == MOUNTED_NO)
			return 0;
		if (mounted == MOUNTED_OTHER)
			return error_set(reterr, -EBUSY,
					 "'%s' is a mount point already (%s)", path,
					 type);
		/* No server of this state holds the lock. */
		int r = dead_remove(state, path, broker, reterr);
		if (r == -EBUSY)
			return say_whose(path, reterr);
		if (r < 0)
			return r;
	}
	return error_set(reterr, -EBUSY, "'%s' has too many dead mounts", path);
}

static int open_step(int dirfd, const char *name, bool *ret_made)
{
	enum { FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW };
	int fd = file_open(dirfd, name, FLAGS, 0);
	*ret_made = false;
	if (fd != -ENOENT)
		return fd;
	if (mkdirat(dirfd, name, 0777) == 0)
		*ret_made = true;
	else if (errno != EEXIST)
		return -errno;
	return file_open(dirfd, name, FLAGS, 0);
}

/*
 * Goes down the path and makes what is missing. It was resolved, so a symlink in it was
 * put there since, by somebody who would have another place mounted over: -ENOTDIR.
 */
static int walk(const char *path, int *ret_made)
{
	cleanup_fd int fd = file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	cleanup_free char *copy = strdup(path);
	char *rest = copy;
	const char *name;
	while (fd >= 0 && (name = strsep(&rest, "/")) != NULL) {
		bool made = false;
		if (!*name)
			continue;
		int next = open_step(fd, name, &made);
		cleanup_close_fn(&fd);
		fd = next;
		*ret_made += made;
	}
	return copy ? steal_fd(&fd) : -ENOMEM;
}

static int check_empty(int dirfd, const char *path, struct error *reterr)
{
	cleanup_dir DIR *dir = file_list_dir(dirfd);
	const struct dirent *entry;
	if (!dir)
		return error_errno(reterr, -errno, "cannot list '%s'", path);
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return error_set(reterr, -ENOTEMPTY,
					 "'%s' is not empty; --over mounts over what it "
					 "holds and leaves that untouched",
					 path);
	}
	return 0;
}

int mount_point_open(const char *path, bool over, struct mount_point *ret,
		     struct error *reterr)
{
	CLEANUP(mount_point_release) struct mount_point point = MOUNT_POINT_INIT;
	point.path = strdup(path);
	if (!point.path)
		return -ENOMEM;
	point.fd = walk(path, &point.made);
	if (point.fd < 0) {
		int r = point.fd;
		mount_point_undo(&point);
		return error_errno(reterr, r, "cannot make or open the directory '%s'",
				   path);
	}
	int r = over ? 0 : check_empty(point.fd, path, reterr);
	if (r < 0)
		return r;
	*ret = point;
	point = MOUNT_POINT_INIT;
	return 0;
}

void mount_point_undo(struct mount_point *point)
{
	cleanup_free char *copy = point->path ? strdup(point->path) : NULL;
	while (copy && point->made > 0) {
		char *slash = strrchr(copy, '/');
		if (!slash)
			return;
		*slash = '\0';
		cleanup_fd int parent = file_open_canonical(copy, O_PATH | O_DIRECTORY);
		if (parent < 0 || unlinkat(parent, slash + 1, AT_REMOVEDIR) < 0)
			return;
		point->made--;
	}
}

void mount_point_release(struct mount_point *point)
{
	cleanup_close_fn(&point->fd);
	free(point->path);
	*point = MOUNT_POINT_INIT;
}
