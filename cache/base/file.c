#include "cache/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int file_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	long fd;
	do {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

int file_open_canonical(const char *path, int flags)
{
	cleanup_fd int root = file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	while (*path == '/')
		path++;
	return root < 0 ? root : file_open_beneath(root, *path ? path : ".", flags, 0);
}

int file_open(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;
	do {
		fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int file_write_all(int fd, const void *bytes, size_t size)
{
	const char *p = bytes;
	while (size > 0) {
		ssize_t n = write(fd, p, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

ssize_t file_pwrite_some(int fd, const void *bytes, size_t size, uint64_t offset)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = pwrite(fd, (const char *)bytes + done, size - done,
				   (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 && done == 0)
			return n < 0 ? -errno : -EIO;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int file_pwrite_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = file_pwrite_some(fd, (const char *)bytes + done, size - done,
					     offset + done);
		if (n < 0)
			return (int)n;
		done += (size_t)n;
	}
	return 0;
}

int file_pread_all(int fd, void *ret_bytes, size_t size, uint64_t offset)
{
	char *p = ret_bytes;
	while (size > 0) {
		ssize_t n = pread(fd, p, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		p += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int file_read_to_end(int fd, size_t limit, struct buffer *out)
{
	size_t start = out->size;
	for (;;) {
		int r = buffer_reserve(out, 4096);
		if (r < 0)
			return r;
		ssize_t n = read(fd, out->data + out->size, out->room - out->size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		out->size += (size_t)n;
		if (out->size - start > limit)
			return -EFBIG;
	}
}

int file_read_at(int dirfd, const char *path, size_t limit, struct buffer *out)
{
	cleanup_fd int fd =
	    dirfd == AT_FDCWD ? file_open(dirfd, path, O_RDONLY, 0)
			      : file_open_beneath(dirfd, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	return file_read_to_end(fd, limit, out);
}

/* Fills and flushes the file that is to take the place of another. */
static int write_aside(int fd, const void *bytes, size_t size, bool sync)
{
	int r = file_write_all(fd, bytes, size);
	if (r == 0 && sync && fdatasync(fd) < 0)
		r = -errno;
	return r;
}

static int replace(int dirfd, const char *path, const void *bytes, size_t size,
		   mode_t mode, bool sync)
{
	char aside[512];
	int n = snprintf(aside, sizeof(aside), "%s.%d.%lx.tmp", path, (int)getpid(),
			 (unsigned long)(uintptr_t)&aside);
	if (n < 0 || (size_t)n >= sizeof(aside))
		return -ENAMETOOLONG;
	cleanup_fd int fd =
	    file_open(dirfd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
	if (fd < 0)
		return fd;
	int r = write_aside(fd, bytes, size, sync);
	if (r == 0 && renameat(dirfd, aside, dirfd, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, aside, 0);
		return r;
	}
	return sync ? file_sync_dir(dirfd) : 0;
}

/* "<name>.<pid>.<hex>.tmp" */
static bool is_aside(const char *name)
{
	static const char ending[] = ".tmp";
	size_t size = strlen(name);
	size_t numbers = 0;
	if (size < sizeof(ending) || strcmp(name + size - strlen(ending), ending) != 0)
		return false;
	for (size_t i = 1; i + sizeof(ending) < size; i++)
		numbers += name[i] == '.' && name[i + 1] >= '0' && name[i + 1] <= 'f';
	return numbers >= 2;
}

void file_sweep_asides(int dirfd)
{
	enum { SECONDS = 3600 };
	struct stat st;
	const struct dirent *entry;
	cleanup_dir DIR *dir = dirfd < 0 ? NULL : file_list_dir(dirfd);
	while (dir && (entry = readdir(dir)) != NULL) {
		if (is_aside(entry->d_name) &&
		    fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && time(NULL) - st.st_mtim.tv_sec > SECONDS)
			(void)unlinkat(dirfd, entry->d_name, 0);
	}
}

int file_replace_at(int dirfd, const char *path, const void *bytes, size_t size,
		    bool sync)
{
	return replace(dirfd, path, bytes, size, 0600, sync);
}

int file_replace_lasting_at(int dirfd, const char *path, const void *bytes, size_t size,
			    bool sync)
{
	return replace(dirfd, path, bytes, size, FILE_LASTING, sync);
}

int file_make_dirs(const char *path, mode_t mode)
{
	cleanup_free char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		int r = file_make_dir_at(AT_FDCWD, copy, mode);
		if (r < 0)
			return r;
		*p = '/';
	}
	return file_make_dir_at(AT_FDCWD, copy, mode);
}

int file_make_dir_at(int dirfd, const char *name, mode_t mode)
{
	if (mkdirat(dirfd, name, mode) == 0)
		return 0;
	int code = -errno;
	struct stat st;
	/* Some file systems say EROFS or EACCES before they look whether it is there. */
	if (fstatat(dirfd, name, &st, 0) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return code;
}

static int remove_children(int dirfd)
{
	cleanup_dir DIR *dir = file_list_dir(dirfd);
	if (!dir)
		return -errno;
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		int r = file_remove_tree_at(dirfd, entry->d_name);
		if (r < 0)
			return r;
	}
}

int file_remove_tree_at(int dirfd, const char *name)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	int code = errno;
	/* EACCES: who may remove no files here may remove directories all the same. */
	if (code != EISDIR && code != EPERM && code != EACCES)
		return -code;
	cleanup_fd int fd =
	    file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd == -ENOTDIR ? -code : fd;
	int r = remove_children(fd);
	if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

int file_sync_dir(int dirfd)
{
	/* EINVAL: a file system that cannot sync a directory has nothing to be synced
	 * there. */
	return fsync(dirfd) < 0 && errno != EINVAL ? -errno : 0;
}

int file_keep_lasting_at(int dirfd, const char *path, const void *bytes, size_t size)
{
	cleanup_buffer struct buffer found = BUFFER_INIT;
	if (file_read_at(dirfd, path, size, &found) == 0 && found.size == size &&
	    (size == 0 || memcmp(found.data, bytes, size) == 0))
		return 0;
	return file_replace_lasting_at(dirfd, path, bytes, size, false);
}

DIR *file_list_dir(int dirfd)
{
	/* A descriptor of its own: one that was duplicated would share its position. */
	cleanup_fd int fd = file_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir)
		fd = -1;
	return dir;
}

char *path_join(const char *a, const char *b)
{
	size_t size = strlen(a);
	const char *slash = size > 0 && a[size - 1] == '/' ? "" : "/";
	char *path = NULL;
	return asprintf(&path, "%s%s%s", a, slash, b) < 0 ? NULL : path;
}

/* Resolves the longest part of the path that exists; *ret_size is its length. */
static int resolve_existing(const char *path, char **ret_resolved, size_t *ret_size)
{
	cleanup_free char *exists = strdup(path);
	if (!exists)
		return -ENOMEM;
	size_t size = strlen(exists);
	do {
		while (size > 0 && exists[size - 1] == '/')
			size--;
		while (size > 0 && exists[size - 1] != '/')
			size--;
		exists[size] = '\0';
		*ret_resolved = realpath(size > 0 ? exists : ".", NULL);
	} while (!*ret_resolved && errno == ENOENT && size > 0);
	*ret_size = size;
	return *ret_resolved ? 0 : -errno;
}

/* Appends what is missing, where ".." would have no meaning. */
static int append_missing(struct buffer *out, const char *missing)
{
	int r = 0;
	for (const char *p = missing; r == 0 && *p;) {
		size_t part = strcspn(p, "/");
		if (part == 2 && memcmp(p, "..", 2) == 0)
			return -ENOENT;
		if (part > 0 && !(part == 1 && *p == '.'))
			r = buffer_printf(out, "/%.*s", (int)part, p);
		p += part + (p[part] == '/');
	}
	return r;
}

static int canonical_missing(const char *path, char **ret_path)
{
	cleanup_free char *resolved = NULL;
	cleanup_buffer struct buffer result = BUFFER_INIT;
	size_t size;
	int r = resolve_existing(path, &resolved, &size);
	if (r == 0)
		r = buffer_append_text(&result,
				       strcmp(resolved, "/") == 0 ? "" : resolved);
	if (r == 0)
		r = append_missing(&result, path + size);
	if (r == 0 && !buffer_cstr(&result))
		r = -ENOMEM;
	if (r == 0)
		*ret_path = buffer_steal(&result);
	return r;
}

int path_canonical(const char *path, char **ret_path, struct error *reterr)
{
	char *resolved = realpath(path, NULL);
	if (resolved) {
		*ret_path = resolved;
		return 0;
	}
	/* ENOTCONN: a mount whose server is gone, which has a path all the same. */
	int r = errno == ENOENT || errno == ENOTCONN ? canonical_missing(path, ret_path)
						     : -errno;
	return r < 0 ? error_errno(reterr, r, "cannot resolve '%s'", path) : 0;
}

static bool is_plain_in_url(unsigned char c)
{
	return c > 0x20 && c < 0x7f && !strchr("\"#<>?`{}%\\^|[]", c);
}

int path_append_url(struct buffer *out, const char *path)
{
	int r = buffer_append_text(out, "file://");
	while (r == 0 && *path) {
		size_t size = 0;
		while (is_plain_in_url((unsigned char)path[size]))
			size++;
		r = buffer_append(out, path, size);
		path += size;
		if (r == 0 && *path)
			r = buffer_printf(out, "%%%02X", (unsigned char)*path++);
	}
	return r;
}
