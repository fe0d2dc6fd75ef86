/*
 * A wheel on its way from a URL into a file: the sink of a request. What came is kept
 * below tmp/ of the cache when the program ends, and gone on with by the next one; size
 * and hashes are checked as the bytes come in. One thread at a time.
 */
#pragma once

#include "cache/source/http.h"
#include "cache/source/wanted.h"
#include "cache/store/cache.h"

struct download;

/* Told of each part that comes; `total` is -1 while nobody said how much it will be. */
typedef void download_progress(void *context, uint64_t bytes, int64_t total);

/*
 * `url`, `file` (the wheel's name) and `wanted` are borrowed. -EOPNOTSUPP: `wanted` names
 * no hash that is known here.
 */
int download_new(struct cache *cache, const char *url, const char *file,
		 const struct wanted_bytes *wanted, struct download **ret,
		 struct error *reterr);
/* What came stays. */
void download_free(struct download *download);
/* It is not needed any more: what came is removed. */
void download_drop(struct download *download);

/* Its context is the download. -EALREADY: the file was whole already, or the wheel is in
 * a cache by now; download_path() tells which. */
extern const struct http_sink download_sink;
void download_set_progress(struct download *download, download_progress *progress,
			   void *context);

/* What keeps the file where it is, from now on the caller's. */
struct partial *download_hold(struct download *download);

/* The whole file, checked, and its hash; NULL before. */
const char *download_path(const struct download *download);
const struct sha256 *download_sha256(const struct download *download);
