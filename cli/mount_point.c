#include "cli/mount_point.h"

#include "cache/base/file.h"
#include "fusefs/serve/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

int mount_point_clear(const char *path, const struct broker *broker, struct error *reterr)
{
	enum { STACKED_MOST = 16 };
	for (int i = 0; i < STACKED_MOST; i++) {
		char type[64];
		struct statfs fs;
		enum mounted mounted = device_look(path, type);
		if (mounted == MOUNTED_NO)
			return 0;
		if (mounted == MOUNTED_OTHER)
			return error_set(reterr, -EBUSY,
					 "'%s' is a mount point already (%s)", path,
					 type);
		/*
		 * No server of this user holds the lock; one of another user answers. Not
		 * stat(), which the kernel answers from what it remembers.
		 */
		if (statfs(path, &fs) == 0 || errno != ENOTCONN)
			return error_set(reterr, -EBUSY,
					 "'%s' is mounted already, by another user",
					 path);
		int r = device_unmount(path, true, broker, reterr);
		if (r < 0)
			return r;
	}
	return error_set(reterr, -EBUSY, "'%s' has too many dead mounts", path);
}

/* mkdir for each missing component; counts them. */
static int make_missing(const char *path, int *ret_made)
{
	cleanup_free char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char kept = *p;
		*p = '\0';
		if (mkdir(copy, 0777) == 0)
			(*ret_made)++;
		else if (errno != EEXIST)
			return -errno;
		*p = kept;
		if (kept == '\0')
			return 0;
	}
}

static int check_empty(const char *path, struct error *reterr)
{
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	if (!dir)
		return error_errno(reterr, fd < 0 ? fd : -errno, "cannot list '%s'",
				   path);
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
	int r = make_missing(path, &point.made);
	if (r < 0) {
		mount_point_undo(&point);
		return error_errno(reterr, r, "cannot make the directory '%s'", path);
	}
	point.fd = file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (point.fd < 0)
		return error_errno(reterr, point.fd, "cannot mount at '%s'", path);
	r = over ? 0 : check_empty(path, reterr);
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
		if (rmdir(copy) < 0 || !slash)
			return;
		*slash = '\0';
		point->made--;
	}
}

void mount_point_release(struct mount_point *point)
{
	cleanup_close_fn(&point->fd);
	free(point->path);
	*point = MOUNT_POINT_INIT;
}
