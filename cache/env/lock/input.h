/*
 * The files that a lock's result depends on, as they were when they were read: digests of
 * the very bytes that were parsed, so that what changes meanwhile is never taken for what
 * was read. Any thread, one at a time for one struct.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/bytes.h"
#include "cache/base/json.h"

struct inputs {
	json_t *files; /* [path, digest], all zero: it was not there; NULL: none yet */
	bool passing; /* something cannot be read so again: a pipe, a file that changed in
			 between, one that names variables of the environment */
};

void inputs_release(struct inputs *inputs);

/* Appends the file to `out` and notes it. A negative errno; -EFBIG beyond 64 MiB. */
int inputs_read(struct inputs *inputs, const char *path, struct buffer *out);

/* Are all files of such a list what they were? Takes nothing out of a pipe. */
bool inputs_are_same(const json_t *files);
