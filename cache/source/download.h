/*
 * A wheel on its way from a URL into a file: the sink of a request. What came is kept
 * below tmp/ of the cache when the program ends, and gone on with by the next one; size
 * and hashes are checked as the bytes come in. One thread at a time.
 */
#pragma once

#include "cache/source/check.h"
#include "cache/source/http.h"
#include "cache/store/cache.h"

struct download;

/* Told of each part that comes; `total` is -1 while nobody said how much it will be. */
typedef void download_progress(void *context, uint64_t bytes, int64_t total);
/* Asked before each attempt: may one more begin? Else it is asked again in a moment. */
typedef bool download_gate(void *context);
/* Told once, when another one has been at the same file for a second. */
typedef void download_waits(void *context);

struct download_calls {
	download_progress *progress;
	download_gate *gate;
	download_waits *waits;
	void *context; /* of all three */
};

/* What is fetched; texts, and what `expected` borrows, are borrowed. */
struct download_of {
	const char *url, *file; /* the wheel's name */
	const struct expected *expected;
	bool anew; /* though the cache has a wheel of that sha256 */
};

/* -EOPNOTSUPP: no hash that is expected is known here. */
int download_new(struct cache *cache, const struct download_of *of, struct download **ret,
		 struct error *reterr);
/* What came stays. */
void download_free(struct download *download);
/* It is not needed any more: what came is removed. */
void download_drop(struct download *download);

/* Its context is the download. -EALREADY: the file was whole already, or the wheel is in
 * a cache by now; download_path() tells which. */
extern const struct http_sink download_sink;
void download_set_calls(struct download *download, const struct download_calls *calls);

/* What keeps the file where it is, from now on the caller's. */
struct partial *download_hold(struct download *download);

/* The whole file, checked, and its hash; NULL before. */
const char *download_path(const struct download *download);
const struct sha256 *download_sha256(const struct download *download);
