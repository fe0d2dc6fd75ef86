/*
 * The rows of the writable layer: what they hold, how they are read and written (upper.h
 * tells when). A reader may be NULL: no row was ever written. One thread at a time for
 * each reader; writing inside a change.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "cache/base/bytes.h"
#include "cache/base/digest.h"

struct upper;
struct upper_reader;

/* Nodes that were made in the mount have this bit, and a number that never comes again.
 */
#define NODE_UPPER (UINT64_C(1) << 51)
/* Cookies of names that cover no lower name. */
#define COOKIE_UPPER (UINT64_C(1) << 62)

enum upper_node_flags {
	/* A lower node's content is its file in files/; of one made in the mount, there
	 * must be such a file, where it may be without. */
	NODE_CONTENT = 1 << 0,
	NODE_OWN = 1 << 1,    /* a directory without lower side: only rows count */
	NODE_XATTRS = 1 << 2, /* its xattrs are the rows', none of its image's */
};

struct upper_node {
	uint64_t id;
	uint32_t flags;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint32_t nlink; /* 0: unlinked, and kept for who has it open */
	dev_t rdev;
	uint64_t
	    size; /* of a file without content of its own, or of a symlink's target */
	struct timespec atime, mtime,
	    ctime;       /* with content: the file's, ctime the later */
	uint64_t parent; /* of a directory; else 0 */
	uint64_t change; /* counts up with every change of the row */
};

struct upper_dentry {
	uint64_t parent;
	const char *name; /* borrowed until the reader is used again */
	size_t name_size;
	uint64_t node;   /* 0: the name is not there, whatever the lower says */
	uint64_t cookie; /* below COOKIE_UPPER: that of the lower name it covers */
	bool pin; /* says what the lower says: the node has changed, not the name */
	bool has_base;
	struct digest base; /* of the file or symlink below when the row was made */
	uint64_t change;
};

/*
 * The row of a name, and the row of the node that it leads to: ret_node->id is 0 when
 * that has none. -ENOENT: no row, so the lower counts.
 */
int upper_find_dentry(struct upper_reader *r, uint64_t parent, const char *name,
		      size_t name_size, struct upper_dentry *ret,
		      struct upper_node *ret_node);
int upper_find_node(struct upper_reader *r, uint64_t id, struct upper_node *ret);
/* Appends a symlink's target. */
int upper_read_target(struct upper_reader *r, uint64_t id, struct buffer *out);
/*
 * Visits the rows of a directory by cookie, those greater than `after`, until `visit`
 * returns something else than 0, which is returned. upper_each() visits all there are, by
 * parent and name, and upper_each_behind() those behind a name, which need not be there.
 */
typedef int upper_visit(void *context, const struct upper_dentry *dentry,
			const struct upper_node *node);
int upper_list(struct upper_reader *r, uint64_t parent, uint64_t after,
	       upper_visit *visit, void *context);
int upper_each(struct upper_reader *r, upper_visit *visit, void *context);
int upper_each_behind(struct upper_reader *r, uint64_t parent, const char *name,
		      size_t name_size, upper_visit *visit, void *context);
/* Each node that has a row, whether a name's row leads to it or not. */
typedef int upper_visit_node(void *context, const struct upper_node *node);
int upper_each_node(struct upper_reader *r, upper_visit_node *visit, void *context);
/* One step of such a walk for who merges it with another; 1 with a row, 0 at the end. */
int upper_list_start(struct upper_reader *r, uint64_t parent, uint64_t after);
int upper_list_next(struct upper_reader *r, struct upper_dentry *ret,
		    struct upper_node *ret_node);
void upper_list_end(struct upper_reader *r);
/* Appends the value; -ENODATA. */
int upper_find_xattr(struct upper_reader *r, uint64_t node, const char *name,
		     struct buffer *out);
/* Appends each name with its NUL. */
int upper_list_xattrs(struct upper_reader *r, uint64_t node, struct buffer *out);

int upper_insert_node(struct upper *u, const struct upper_node *node, const char *target);
int upper_update_node(struct upper *u, const struct upper_node *node);
/* The row, its xattrs, names in it that are left; the content stays. */
int upper_delete_node(struct upper *u, uint64_t id);
int upper_put_dentry(struct upper *u, const struct upper_dentry *dentry);
int upper_delete_dentry(struct upper *u, uint64_t parent, const char *name,
			size_t name_size);
int upper_put_xattr(struct upper *u, uint64_t node, const char *name, const void *value,
		    size_t size);
int upper_delete_xattr(struct upper *u, uint64_t node, const char *name); /* -ENODATA */
