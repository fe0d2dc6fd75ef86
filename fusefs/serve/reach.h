/* Which files a server reaches once it knows what it serves. */
#pragma once

#include "cache/base/error.h"

struct cache;
struct plan;

/*
 * Takes from the process, for good, all of the file system but what this mount is made
 * of, where the kernel has Landlock; elsewhere it does nothing. To be called while there
 * is one thread, after confine_server(), and before images and rows are read. What is
 * open stays usable.
 */
int reach_limit(const struct plan *plan, struct cache *cache, const char *state_path,
		struct error *reterr);
