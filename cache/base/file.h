/*
 * Files, relative to directory descriptors and close-on-exec always. Functions return 0
 * (or what they say) or a negative errno. Any thread.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "cache/base/bytes.h"
#include "cache/base/error.h"

/*
 * openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS: nothing outside of dirfd and
 * nothing through a symlink is ever opened. Returns a descriptor or a negative errno
 * (-ELOOP: a symlink stood in the way, -EXDEV: the path led outside).
 */
int file_open_beneath(int dirfd, const char *path, int flags, mode_t mode);

/* The same with an absolute path that has been resolved: whoever has put a symlink into
 * it since gets -ELOOP. */
int file_open_canonical(const char *path, int flags);

/* As open(2); returns a descriptor or a negative errno. */
int file_open(int dirfd, const char *path, int flags, mode_t mode);

int file_write_all(int fd, const void *bytes, size_t size);
int file_pwrite_all(int fd, const void *bytes, size_t size, uint64_t offset);
/* As much as fits: how many bytes, or a negative errno when it was none. */
ssize_t file_pwrite_some(int fd, const void *bytes, size_t size, uint64_t offset);
/* Reads exactly `size` bytes; -ENODATA when the file ends before. */
int file_pread_all(int fd, void *ret_bytes, size_t size, uint64_t offset);
/* Appends the whole file to `out`; -EFBIG when it is larger than `limit` bytes. */
int file_read_to_end(int fd, size_t limit, struct buffer *out);
/* The whole file at `path`; opened by file_open_beneath() unless dirfd is AT_FDCWD, and
 * then a fifo in its place is not waited for. */
int file_read_at(int dirfd, const char *path, size_t limit, struct buffer *out);

/*
 * Makes or replaces `path` in one step: written aside, flushed to disk when `sync`,
 * renamed. A reader sees the old content or the new, never a part.
 */
int file_replace_at(int dirfd, const char *path, const void *bytes, size_t size,
		    bool sync);
/*
 * For what must last wherever it lies: files with this mode are sticky, which makes
 * systemd-tmpfiles leave them alone however old they are.
 */
enum { FILE_LASTING = 01600 };
int file_replace_lasting_at(int dirfd, const char *path, const void *bytes, size_t size,
			    bool sync);

/*
 * Removes what processes that were killed in file_replace_at() have left in the
 * directory: names of its kind that are an hour old, while it takes milliseconds.
 */
void file_sweep_asides(int dirfd);

/* The last one, without `sync`; does nothing where that is the content already. */
int file_keep_lasting_at(int dirfd, const char *path, const void *bytes, size_t size);

/* mkdir for each missing component of an absolute or relative path. */
int file_make_dirs(const char *path, mode_t mode);
/* mkdirat that takes an existing directory for done. */
int file_make_dir_at(int dirfd, const char *name, mode_t mode);
/* Removes name and, when it is a directory, all below it; follows no symlink. Missing: 0.
 */
int file_remove_tree_at(int dirfd, const char *name);
int file_sync_dir(int dirfd);
/* A listing of the directory from its start; NULL with errno. dirfd stays the caller's.
 */
DIR *file_list_dir(int dirfd);

/* "a/b" from "a" and "b"; the caller frees it. NULL without memory. */
char *path_join(const char *a, const char *b);
/*
 * The absolute path with symlinks, "." and ".." resolved; its end need not exist, or may
 * be a mount whose server is gone. The caller frees it.
 */
int path_canonical(const char *path, char **ret_path, struct error *reterr);

/*
 * Appends the file:// URL of an absolute path: printable ASCII whatever the path holds,
 * with the same characters escaped as uv escapes.
 */
int path_append_url(struct buffer *out, const char *path);
