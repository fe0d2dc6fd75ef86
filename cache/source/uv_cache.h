/*
 * uv's cache, read and never written: wheels that it unpacked. While it is open, `uv
 * cache prune` and `clean` wait. One thread.
 */
#pragma once

#include "cache/base/cleanup.h"
#include "cache/source/uv_pointer.h"

struct uv_cache;

/* -ENOENT: there is none, it is being cleaned, or others could change it. */
int uv_cache_open(const char *folder, struct uv_cache **ret);
void uv_cache_free(struct uv_cache *cache);
DEFINE_CLEANUP(struct uv_cache *, uv_cache_free);

/*
 * Calls `visit` for each wheel of that (normalised) name which is still there; stops at
 * what is not 0. `folder`: where it lies unpacked, borrowed for the call.
 */
typedef int uv_cache_visit(void *context, const struct uv_pointer *pointer,
			   const char *folder);
int uv_cache_each(struct uv_cache *cache, const char *name, uv_cache_visit *visit,
		  void *context);
