#include "cli/export_file.h"

#include "cache/base/file.h"
#include "cli/export_work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { LARGEST_NAMES = 64 << 10, LARGEST_VALUE = 64 << 10 };

static int create(const struct export_source *s, int dir, const char *name)
{
	return file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL,
			 (s->st->st_mode & 0777) | S_IWUSR);
}

/* In this order: writing takes set-id bits away and changes the mtime. */
static int finish(const struct export_source *s, int fd)
{
	const struct timespec times[] = { s->st->st_atim, s->st->st_mtim };
	mode_t mode = s->st->st_mode & 07777;
	if (mode != ((mode & 0777) | S_IWUSR) && fchmod(fd, mode) < 0)
		return -errno;
	return futimens(fd, times) < 0 ? -errno : 0;
}

int export_file_write(const struct export_source *s, int dir, const void *bytes,
		      size_t size)
{
	cleanup_fd int fd = create(s, dir, s->name);
	int r = fd < 0 ? fd : file_write_all(fd, bytes, size);
	return r < 0 ? r : finish(s, fd);
}

/* A disk that keeps none of them is no reason to fail. */
static int copy_attributes(int from, int to, void *scratch)
{
	char *names = scratch;
	char *value = names + LARGEST_NAMES;
	ssize_t size = flistxattr(from, names, LARGEST_NAMES);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
		if (strncmp(names + at, "user.", 5) != 0)
			continue;
		ssize_t n = fgetxattr(from, names + at, value, LARGEST_VALUE);
		if (n < 0 || fsetxattr(to, names + at, value, (size_t)n, 0) == 0)
			continue;
		return errno == ENOTSUP ? 0 : -errno;
	}
	return 0;
}

static int copy_bytes(int from, int to, void *scratch)
{
	for (;;) {
		ssize_t n = read(from, scratch, EXPORT_CHUNK);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		int r = file_write_all(to, scratch, (size_t)n);
		if (r == 0 && n == EXPORT_CHUNK && export_is_interrupted())
			r = -EINTR;
		if (r < 0)
			return r;
	}
}

static int copy_regular(const struct export_source *s, int dir, const char *name,
			void *scratch)
{
	cleanup_fd int from = file_open(s->dir, s->name, O_RDONLY | O_NOFOLLOW, 0);
	if (from < 0)
		return from;
	cleanup_fd int to = create(s, dir, name);
	int r = to < 0 ? to : copy_bytes(from, to, scratch);
	if (r == 0)
		r = copy_attributes(from, to, scratch);
	return r < 0 ? r : finish(s, to);
}

static int copy_symlink(const struct export_source *s, int dir, const char *name,
			void *scratch)
{
	char *target = scratch;
	ssize_t size = readlinkat(s->dir, s->name, target, EXPORT_CHUNK - 1);
	if (size < 0)
		return -errno;
	target[size] = '\0';
	return symlinkat(target, dir, name) < 0 ? -errno : 0;
}

int export_file_copy(const struct export_source *s, int dir, const char *name,
		     void *scratch)
{
	if (S_ISREG(s->st->st_mode))
		return copy_regular(s, dir, name, scratch);
	if (S_ISLNK(s->st->st_mode))
		return copy_symlink(s, dir, name, scratch);
	return mknodat(dir, name, s->st->st_mode, s->st->st_rdev) < 0 ? -errno : 0;
}
