/*
 * What the parts of the image reader share. Private to cache/store.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "cache/store/format.h"
#include "cache/store/image.h"

struct section {
	uint64_t offset, size; /* {0, 0}: the image has none of this kind */
};

struct image_pack {
	int fd; /* borrowed */
	void *map;
	uint64_t size;
};

struct image {
	const uint8_t *map;            /* metadata: [0, meta_size) of the image */
	const struct image_pack *pack; /* whose map that is; NULL: an own one */
	uint64_t meta_size, size, body, offset;
	uint64_t page_sums; /* offset of the table of sums of metadata pages */
	uint32_t count;
	int fd, objects_fd; /* borrowed, unless owns_fd */
	bool owns_fd;
	struct digest id;
	struct section sections[SECTION_KINDS];
	atomic_bool bad;
	_Atomic(uint64_t) *checked; /* one bit a page, set once its sum was found right */
};

/* Makes sure that [offset, offset + size) is metadata and right. -EBADMSG. */
int image_need(struct image *image, uint64_t offset, uint64_t size);

/* Row `i` of a section of rows of `row_size` bytes; NULL when there is none or it is
 * wrong. */
const uint8_t *image_row(struct image *image, enum section_kind kind, uint64_t i,
			 uint64_t row_size);

/* The first row of an entry in a section sorted by entry. -ENODATA, -EBADMSG. */
int image_find_row(struct image *image, enum section_kind kind, uint64_t row_size,
		   uint32_t number, uint64_t *ret_row);

/* How many blocks a file of that size has. */
static inline uint64_t block_count(uint64_t size)
{
	return size / IMAGE_BLOCK + (size % IMAGE_BLOCK != 0);
}
