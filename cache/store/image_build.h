/*
 * An image in the making, shared by the writer (which collects) and the layout (which
 * sorts and writes). Private to cache/store.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/base/bytes.h"
#include "cache/store/format.h"
#include "cache/store/image_writer.h"
#include "cache/store/spool.h"

struct node {
	char *path; /* owned; its last component is the name */
	uint32_t name_at, name_size;
	uint32_t parent; /* index of a node; the root is 0 and its own */
	uint32_t number; /* in the image, given by the layout */
	enum entry_type type;
	uint8_t flags;
	bool has_sha256, has_owner, has_link, own_mtime;
	uint16_t mode;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint64_t size;
	uint64_t data; /* file: offset in the spool; symlink: offset in `targets` */
	uint64_t sum;  /* index of its first sum, for a file of several blocks */
	uint32_t first_child, children;
	uint32_t uid, gid;
	uint32_t link; /* node whose hard link this is */
	struct digest digest;
	struct sha256 sha256;
};

struct node_xattr {
	uint32_t node, name_at, name_size, value_at, value_size; /* in xattr_bytes */
};

struct image_build {
	struct node *nodes; /* nodes[0] is the root */
	uint32_t count, room;
	uint32_t *index; /* hash table of paths: node + 1, 0 is free */
	uint32_t index_size;
	struct buffer targets, sums, xattrs /* of struct node_xattr */, xattr_bytes,
	    record, info;
	bool has_record;
	struct spool spool;
};

int image_build_init(struct image_build *b);
void image_build_release(struct image_build *b);
/*
 * The node of a path; made as a directory where it is missing, together with its parents.
 * -EINVAL for a path that an image cannot hold, -ENOTDIR when a parent is no directory.
 */
int image_build_node(struct image_build *b, const char *path, uint32_t *ret_node,
		     bool *ret_existed);

/* The node of a path that was added. -ENOENT. */
int image_build_find(struct image_build *b, const char *path, uint32_t *ret_node);

/*
 * Sorts, numbers and lays out; writes the image at `offset` of fd. The size that it takes
 * and its id.
 */
int image_build_write(struct image_build *b, int fd, uint64_t offset, uint64_t *ret_size,
		      struct digest *ret_id);
