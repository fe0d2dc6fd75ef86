/*
 * What else is known of files by their sha256: the other hashes that were once computed
 * of them. Kept as facts of the cache, so that a file that is not read again can still be
 * held against a lock. Any thread.
 */
#pragma once

#include "cache/source/check.h"
#include "cache/store/cache.h"

/* After check_end() succeeded. Quietly nothing on a read-only cache. */
void known_note(struct cache *cache, const struct sha256 *sha256,
		const struct check *check);

enum known { KNOWN_WRONG, KNOWN_RIGHT, KNOWN_NOT };
/* Is the file of that sha256 what is expected? Of sizes nothing is said. */
enum known known_judge(struct cache *cache, const struct sha256 *sha256,
		       const struct expected *expected);
