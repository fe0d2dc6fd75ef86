/*
 * RECORD: the files of an installed distribution with their hashes (PyPA's "recording
 * installed packages"). CSV rows of path, "sha256=" and URL-safe base64, size. Immutable
 * once parsed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/base/bytes.h"
#include "cache/base/digest.h"
#include "cache/base/error.h"

struct record_row {
	const char *path; /* NUL-terminated */
	bool has_hash, has_size;
	bool matched; /* for the caller: a file was found for it */
	struct sha256 sha256;
	uint64_t size;
};

struct record {
	struct record_row *rows; /* sorted by path */
	uint32_t count;
	char *text; /* what the paths point into */
};

/*
 * -EBADMSG with the rule: no CSV of three fields, a path that leaves its tree or stands
 * twice, a hash that is no sha256. `text` need not end with a NUL.
 */
int record_parse(const char *text, size_t size, struct record *ret, struct error *reterr);
void record_release(struct record *record);
struct record_row *record_find(struct record *record, const char *path);

/* Appends "path,sha256=...,size\n" (sha256 NULL: "path,,\n"), quoted where CSV needs it.
 */
int record_append(struct buffer *out, const char *path, const struct sha256 *sha256,
		  uint64_t size);
