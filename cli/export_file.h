/* One file of a mount written out, with mode, mtime and user attributes. Any thread. */
#pragma once

#include <stddef.h>
#include <sys/stat.h>

enum { EXPORT_CHUNK = 1 << 20 };

struct export_source {
	int dir;
	const char *name;
	const struct stat *st; /* of it, not followed */
};

/* Anything but a directory. -ENOENT: it is gone; -EINTR as export_tree(). */
int export_file_copy(const struct export_source *source, int dir, const char *name,
		     void *scratch);
/* A regular file with other bytes. */
int export_file_write(const struct export_source *source, int dir, const void *bytes,
		      size_t size);
