/*
 * The images below and what was changed above them as one tree, by node id. It knows no
 * FUSE: requests are calls, and a negative errno is for who asked. Two rules define it:
 *
 * 1. A name in a directory is what its dentry row says (a node, or nothing); without a
 *    row, what the lower directory says.
 * 2. A node is what its node row says; without a row, what its image says.
 *
 * Once a node has content of its own, the size, mtime, atime and blocks of that file are
 * the truth, so writing needs no row.
 *
 * A function that changes rows has committed them when it returns 0, and then holds the
 * writer's lock until overlay_release(): reply in between, so that at most one change at
 * a time was made and is not yet answered. After an error nothing is held. Functions that
 * do so say "Release".
 *
 * All may return -EBADMSG (damage below or in the rows), -EIO, -ENOMEM, and what the
 * disk below says; changes -EROFS on a read-only overlay. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "cache/base/bytes.h"
#include "cache/base/cleanup.h"
#include "cache/store/image.h"

struct count_once;
struct overlay;
struct tree;
struct upper;

struct overlay_options {
	struct tree *tree;   /* borrowed */
	struct upper *upper; /* borrowed; NULL: read-only */
	void *counts;        /* memory of counts.h that outlives this; NULL: its own */
	/* Was a request done by an earlier server that could not answer? May be NULL. */
	bool (*was_done)(void *context, uint64_t unique, uint64_t *ret_node);
	int die_after; /* for tests: killed between a commit and its reply; 0: never */
	/* Told before and after work that takes long, a large copy-up; may be NULL. */
	void (*on_blocking)(void *context, bool begins);
	void *context;
};

int overlay_new(const struct overlay_options *options, struct overlay **ret);
void overlay_free(struct overlay *o);
DEFINE_CLEANUP(struct overlay *, overlay_free);
void overlay_release(struct overlay *o);

/* Who asks. */
struct caller {
	uid_t uid;
	gid_t gid;
	uint64_t unique;      /* number of the request, kept with its result; 0: none */
	bool again;           /* it came before, and may have been done */
	bool kill_privileges; /* set-id bits go when content changes */
};

/* Looking. st_ino is the node id. */
int overlay_lookup(struct overlay *o, uint64_t dir, const char *name, struct stat *ret);
int overlay_stat(struct overlay *o, uint64_t node, struct stat *ret);
/* By an id that somebody kept. -ENOENT: no name leads to it any more. */
int overlay_find(struct overlay *o, uint64_t node, struct stat *ret);
int overlay_readlink(struct overlay *o, uint64_t node, struct buffer *out);
int overlay_parent(struct overlay *o, uint64_t dir, uint64_t *ret_parent);
int overlay_statfs(struct overlay *o, struct statvfs *ret);

/*
 * Listing, by cookie, stateless: from the first name whose cookie is greater than `after`
 * until `visit` returns something else than 0, which is returned. Of the attributes only
 * st_ino and the type are filled in unless `full`.
 */
struct overlay_child {
	const char *name; /* not NUL-terminated */
	size_t name_size;
	uint64_t cookie;
	struct stat st;
};
typedef int overlay_visit(void *context, const struct overlay_child *child);
int overlay_list(struct overlay *o, uint64_t dir, uint64_t after, bool full,
		 overlay_visit *visit, void *context);

/*
 * What the kernel remembers: each time it is told of a node its count goes up, before the
 * reply, and comes down when it forgets. An unlinked node lives until then.
 */
int overlay_remember(struct overlay *o, uint64_t node);
void overlay_forget(struct overlay *o, uint64_t node, uint64_t count,
		    const struct count_once *once); /* counts.h; may be NULL */

/* Content. `scratch` is as for image_read(). */
int overlay_read(struct overlay *o, uint64_t node, uint64_t offset, size_t size,
		 void *scratch, struct image_bytes *ret);
/* How many bytes were written: on a full disk those that fit, if any do. */
ssize_t overlay_write(struct overlay *o, const struct caller *caller, uint64_t node,
		      uint64_t offset, const void *bytes, size_t size);
struct overlay_copy {
	uint64_t from, from_offset, to, to_offset, size;
};
/* How many bytes were copied. */
ssize_t overlay_copy(struct overlay *o, const struct caller *caller,
		     const struct overlay_copy *copy);
int overlay_allocate(struct overlay *o, const struct caller *caller, uint64_t node,
		     int mode, uint64_t offset, uint64_t size);
/* SEEK_DATA and SEEK_HOLE. -ENXIO. */
int overlay_seek(struct overlay *o, uint64_t node, uint64_t offset, int whence,
		 uint64_t *ret);
/* Content and rows are on disk. */
int overlay_sync(struct overlay *o, uint64_t node, bool data_only);
