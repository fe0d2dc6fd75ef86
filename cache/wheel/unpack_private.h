/* A wheel on its way into an image. Private to unpack.c and unpack_finish.c. */
#pragma once

#include <pthread.h>

#include "cache/store/image_writer.h"
#include "cache/wheel/unpack.h"

/* A row of the installed RECORD. */
struct row {
	char *path;
	struct sha256 sha256;
	uint64_t size;
};

struct unpack {
	struct wheel *wheel; /* borrowed */
	uint32_t
	    *starts; /* first member of each range, and the count of members at the end */
	uint32_t ranges;
	char name[256]; /* of the distribution, normalised: where headers go */
	pthread_mutex_t lock;
	struct image_writer *writer; /* guarded by lock */
	struct buffer rows;          /* of struct row; guarded by lock */
	struct buffer headers;       /* of struct row; guarded by lock */
	struct buffer scripts; /* of char *, names of #!python scripts; guarded by lock */
};

/* Appends a row whose path is `prefix` and `path`. -ENOMEM. The lock is held. */
int unpack_add_row(struct buffer *rows, const char *prefix, const char *path,
		   const struct sha256 *sha256, uint64_t size);
