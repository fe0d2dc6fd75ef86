/*
 * Adding wheel files to the cache, several at once on all cores. A file that was read
 * before is known by its stamps, a wheel that is in a cache by its sha256; only what is
 * new is unpacked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/store/cache.h"
#include "cache/wheel/wheel.h"

struct wheel_job {
	const char *path;   /* of the file */
	const char *origin; /* where it came from, for people; NULL: `path` */
	const char *source; /* what kind of place that is, for people; NULL: "file" */
	const struct sha256 *expected; /* checked before anything is parsed, or NULL */
	const char *file_name; /* of the wheel; NULL: the last component of `path` */
	/* `path` is the folder where somebody unpacked it. Its file had `size` bytes, and
	 * `expected` is its sha256, which is believed. */
	bool is_unpacked;
	uint64_t size;
	/* Results: */
	int result; /* 0 or a negative errno; then `err` says why, naming the file */
	struct error err;
	bool was_known;
	struct wheel_note note;
	struct store *store; /* the cache that has it, borrowed */
};

/* Called once for each wheel that had to be read, from any thread, one call at a time. */
typedef void wheel_add_progress(void *context, const struct wheel_job *job, size_t done,
				size_t count);

/*
 * Works on all jobs, whatever becomes of single ones, and returns when all are done: 0,
 * or -ENOMEM or what pthread_create says when it could not work at all. `progress` may be
 * NULL.
 */
int wheel_add_many(struct cache *cache, struct wheel_job *jobs, size_t count,
		   const struct wheel_options *options, wheel_add_progress *progress,
		   void *context);
