/*
 * Changing names and attributes of the overlay; overlay.h tells what "Release" is and
 * what may be returned. Any thread.
 */
#pragma once

#include "fusefs/overlay/overlay.h"

/* Names. */
struct overlay_new {
	mode_t mode; /* with its type */
	dev_t rdev;
	const char *target; /* of a symlink */
};
/* Release. */
int overlay_make(struct overlay *o, const struct caller *caller, uint64_t dir,
		 const char *name, const struct overlay_new *what, struct stat *ret);
/* A file without a name, which overlay_link() may give it. Release. */
int overlay_make_nameless(struct overlay *o, const struct caller *caller, uint64_t dir,
			  mode_t mode, struct stat *ret);
/* Release. */
int overlay_link(struct overlay *o, const struct caller *caller, uint64_t node,
		 uint64_t dir, const char *name, struct stat *ret);
/* unlink(2), or rmdir(2) when `directory`. Release. */
int overlay_remove(struct overlay *o, const struct caller *caller, uint64_t dir,
		   const char *name, bool directory);
struct overlay_rename {
	uint64_t from_dir, to_dir;
	const char *from, *to;
	unsigned flags; /* RENAME_NOREPLACE, RENAME_EXCHANGE */
};
/* Release. */
int overlay_rename(struct overlay *o, const struct caller *caller,
		   const struct overlay_rename *q);

/* Attributes. */
enum overlay_set_flags {
	SET_MODE = 1 << 0,
	SET_UID = 1 << 1,
	SET_GID = 1 << 2,
	SET_SIZE = 1 << 3,
	SET_ATIME = 1 << 4,
	SET_MTIME = 1 << 5,
	SET_ATIME_NOW = 1 << 6,
	SET_MTIME_NOW = 1 << 7,
	SET_TOUCH = 1 << 8, /* chown(2) that names no owner: set-id bits and ctime */
};
/* Takes the fields of `st` that flags name; what the node is then. Not "Release". */
int overlay_set(struct overlay *o, const struct caller *caller, uint64_t node,
		unsigned flags, const struct stat *st, struct stat *ret);

/* Extended attributes: user.* and trusted.*; others are -EOPNOTSUPP. */
int overlay_get_xattr(struct overlay *o, uint64_t node, const char *name,
		      struct buffer *out); /* -ENODATA */
int overlay_list_xattrs(struct overlay *o, uint64_t node, struct buffer *out);
struct overlay_xattr {
	const char *name;
	const void *value; /* NULL: it is removed */
	size_t size;
	int flags; /* XATTR_CREATE, XATTR_REPLACE */
};
/* Release. */
int overlay_set_xattr(struct overlay *o, const struct caller *caller, uint64_t node,
		      const struct overlay_xattr *xattr);
