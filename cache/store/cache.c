#include "cache/store/cache.h"

#include "cache/base/file.h"
#include "cache/base/trust.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CACHES_MOST = 32 };

struct cache {
	struct store *stores[CACHES_MOST]; /* the own one first */
	size_t count;
	struct buffer skipped;
};

static int home_directory(char **ret_home, struct error *reterr)
{
	const char *home = getenv("HOME");
	char bytes[4096];
	struct passwd user;
	struct passwd *found = NULL;
	if (!home || home[0] != '/') {
		if (getpwuid_r(geteuid(), &user, bytes, sizeof(bytes), &found) != 0 ||
		    !found)
			return error_set(reterr, -ENOENT,
					 "no home directory is known for the cache; set "
					 "VENVFS_CACHE_DIR");
		home = user.pw_dir;
	}
	*ret_home = strdup(home);
	return *ret_home ? 0 : -ENOMEM;
}

int cache_own_path(char **ret_path, struct error *reterr)
{
	const char *named = getenv("VENVFS_CACHE_DIR");
	const char *xdg = getenv("XDG_CACHE_HOME");
	if (named && named[0]) {
		*ret_path = strdup(named);
	} else if (xdg && xdg[0] == '/') {
		*ret_path = path_join(xdg, "venvfs");
	} else {
		cleanup_free char *home = NULL;
		int r = home_directory(&home, reterr);
		if (r < 0)
			return r;
		*ret_path = path_join(home, ".cache/venvfs");
	}
	return *ret_path ? 0 : -ENOMEM;
}

static int open_others(struct cache *cache, const char *list)
{
	cleanup_free char *copy = strdup(list);
	if (!copy)
		return -ENOMEM;
	char *rest = copy;
	const char *path;
	while ((path = strsep(&rest, ":")) != NULL && cache->count < CACHES_MOST) {
		struct error why = ERROR_INIT;
		if (!*path)
			continue;
		int r =
		    store_open(path, STORE_SHARED, &cache->stores[cache->count], &why);
		if (r == 0)
			cache->count++;
		else
			r = buffer_printf(&cache->skipped, "%s\n", error_text(&why, r));
		if (r < 0)
			return r;
	}
	return 0;
}

int cache_open(struct cache **ret, struct error *reterr)
{
	CLEANUP(cache_freep) struct cache *cache = calloc(1, sizeof(*cache));
	cleanup_free char *path = NULL;
	if (!cache)
		return -ENOMEM;
	int r = cache_own_path(&path, reterr);
	if (r == 0)
		r = store_open(path, STORE_OWN, &cache->stores[0], reterr);
	if (r < 0)
		return r;
	cache->count = 1;
	const char *others = getenv("VENVFS_CACHE_PATH");
	r = others ? open_others(cache, others) : 0;
	if (r < 0)
		return r;
	*ret = steal_ptr(cache);
	return 0;
}

void cache_ask_ahead(void)
{
	cleanup_free char *path = NULL;
	const char *list = getenv("VENVFS_CACHE_PATH");
	cleanup_free char *others = list ? strdup(list) : NULL;
	char *rest = others;
	const char *other;
	if (cache_own_path(&path, NULL) == 0) {
		(void)setenv("VENVFS_CACHE_DIR", path, 1);
		trust_ask_ahead(path);
	}
	while (rest && (other = strsep(&rest, ":")) != NULL)
		trust_ask_ahead(other);
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->count; i++)
		store_free(cache->stores[i]);
	buffer_release(&cache->skipped);
	free(cache);
}

struct store *cache_own(struct cache *cache)
{
	return cache->stores[0];
}

size_t cache_count(const struct cache *cache)
{
	return cache->count;
}

struct store *cache_store(struct cache *cache, size_t i)
{
	return cache->stores[i];
}

const char *cache_skipped(struct cache *cache)
{
	const char *text = cache->skipped.size ? buffer_cstr(&cache->skipped) : "";
	return text ? text : "";
}

int cache_find_wheel(struct cache *cache, const struct sha256 *sha256,
		     struct store **ret_store, struct wheel_note *ret)
{
	for (size_t i = 0; i < cache->count; i++) {
		int r = store_find_wheel(cache->stores[i], sha256, ret);
		if (r == 0)
			*ret_store = cache->stores[i];
		if (r == 0)
			return 0;
	}
	return -ENOENT;
}

int cache_open_image(struct cache *cache, const struct digest *id, struct image **ret,
		     struct error *reterr)
{
	int first = -ENOENT;
	for (size_t i = 0; i < cache->count; i++) {
		struct error ignored = ERROR_INIT;
		int r = store_open_image(cache->stores[i], id, ret,
					 first == -ENOENT ? reterr : &ignored);
		if (r == 0)
			return 0;
		if (first == -ENOENT)
			first = r;
	}
	return first;
}

int cache_find_seen(struct cache *cache, const struct stat *st, struct sha256 *ret)
{
	for (size_t i = 0; i < cache->count; i++) {
		if (store_find_seen(cache->stores[i], st, ret) == 0)
			return 0;
	}
	return -ENOENT;
}
