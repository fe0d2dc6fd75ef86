/*
 * What a lock wants, brought into the cache: wheels from wherever they are, and what has
 * none built. One thread.
 */
#pragma once

#include "cli/builds.h"
#include "cli/locks.h"

struct obtaining {
	struct cache *cache;
	const struct interpreter *interpreter;
	const struct target *target;
	const struct source_settings *settings;
	const struct source_options *options;
	const char *folder; /* of the lock, where tools are run; NULL: here */
	const struct wanted *wanted;
	bool lenient, verbose;
};

/* ret_wheels[i] of wanted->dists[i], all zero before. Says what failed. Exit status. */
int obtain(const struct obtaining *o, struct locked_wheel *ret_wheels);
