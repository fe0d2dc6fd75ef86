/*
 * Builds an image: entries are added in any order, parents are made where they are
 * missing (0755), and the end sorts and writes. Content streams through; small files are
 * kept aside (memory, then a temporary file) and large ones become staged objects. One
 * thread at a time; several writers may work on one store at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/base/error.h"
#include "cache/store/image.h"

struct store;
struct image_writer;

/* mtime of a file of this content: 1980-01-01 plus the low 30 bits of the digest,
 * seconds. */
int64_t content_mtime(const struct digest *digest);
/* mtime of a directory or symlink of an image that has none of its own: 1980-01-01. */
enum { IMAGE_EPOCH = 315532800 };

struct item {
	const char *path; /* relative, "a/b/c"; no empty, "." or ".." component */
	enum entry_type type;
	uint16_t mode;
	bool opaque;
	bool own_mtime; /* mtime and mtime_nsec are given; else content_mtime or
			   IMAGE_EPOCH */
	int64_t mtime;
	uint32_t mtime_nsec;
	const char *target; /* of a symlink */
};

/* `store` takes the objects; NULL: everything stays in the image (skeletons). */
int image_writer_new(struct store *store, struct image_writer **ret);
void image_writer_free(struct image_writer *w);
DEFINE_CLEANUP(struct image_writer *, image_writer_free);

/*
 * Adds an entry that has no content. Adding a directory twice is fine (the later call's
 * mode and times stand); -EEXIST for any other second entry of a path, -ENOTDIR when a
 * parent is no directory, -EINVAL for a path that an image cannot hold.
 */
int image_writer_add(struct image_writer *w, const struct item *item);

/*
 * A regular file: begin, write as often as wanted, end. `size` tells where it will be
 * kept; writing more or less than that is -EINVAL at the end. One file at a time.
 * `sha256` may be NULL. After an error the writer can only be freed.
 */
int image_writer_begin_file(struct image_writer *w, const struct item *item,
			    uint64_t size);
int image_writer_write(struct image_writer *w, const void *bytes, size_t size);
int image_writer_end_file(struct image_writer *w, const struct sha256 *sha256);
/* The three in one for bytes in memory; computes and records their sha256 when asked. */
int image_writer_add_file(struct image_writer *w, const struct item *item,
			  const void *bytes, size_t size, bool with_sha256);

/* For the entry added last. */
int image_writer_set_owner(struct image_writer *w, uint32_t uid, uint32_t gid);
int image_writer_add_xattr(struct image_writer *w, const char *name, const void *value,
			   uint32_t size);
/* The entry added last is a hard link of `path`, a file that was added before it. */
int image_writer_set_hard_link(struct image_writer *w, const char *path);

int image_writer_set_record(struct image_writer *w, const char *text, size_t size);
int image_writer_add_info(struct image_writer *w, enum info_key key, const char *value,
			  size_t size);

/* Publishes objects and image in the store; the image's id. Nothing is visible on error.
 */
int image_writer_publish(struct image_writer *w, struct digest *ret_id,
			 struct error *reterr);
/* Writes the image at byte `offset` of fd (a skeleton pack). The size that it takes. */
int image_writer_write_to(struct image_writer *w, int fd, uint64_t offset,
			  uint64_t *ret_size, struct digest *ret_id);
