/*
 * The caches of a user as one: the own cache first, then those of VENVFS_CACHE_PATH.
 * Any thread after cache_open().
 */
#pragma once

#include "cache/store/store.h"

struct cache;

/*
 * The own cache is $VENVFS_CACHE_DIR, else $XDG_CACHE_HOME/venvfs, else ~/.cache/venvfs.
 * One of VENVFS_CACHE_PATH that is missing or refused is passed over; cache_skipped()
 * says why.
 */
int cache_open(struct cache **ret, struct error *reterr);
void cache_free(struct cache *cache);
DEFINE_CLEANUP(struct cache *, cache_free);

struct store *cache_own(struct cache *cache);
size_t cache_count(const struct cache *cache);
struct store *cache_store(struct cache *cache, size_t i); /* 0 is the own one */
/* One line a cache that was passed over, or "". */
const char *cache_skipped(struct cache *cache);
/* Prints the own cache's path without opening or making it. The caller frees it. */
int cache_own_path(char **ret_path, struct error *reterr);

/*
 * Asks for users and groups that cache_open() will want to know of, for a process that
 * will not be able to then (trust_ask_ahead()). One thread; it may set VENVFS_CACHE_DIR
 * to what it would be taken for without.
 */
void cache_ask_ahead(void);

/* The first cache that has it. -ENOENT. *ret_store is borrowed from the cache. */
int cache_find_wheel(struct cache *cache, const struct sha256 *sha256,
		     struct store **ret_store, struct wheel_note *ret);
int cache_open_image(struct cache *cache, const struct digest *id, struct image **ret,
		     struct error *reterr);
int cache_find_seen(struct cache *cache, const struct stat *st, struct sha256 *ret);
