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
	bool no_build; /* there are no sources in `wanted`, and of pins none are taken */
};

/* What came of wanted->dists[i]; all zero before. */
struct obtained {
	struct locked_wheel wheel;
	char *left_out; /* from where it would have to be built; NULL: it is there */
};
void obtained_release(struct obtained *obtained, size_t count);

/* ret[i] of wanted->dists[i]. Says what failed. Exit status. */
int obtain(const struct obtaining *o, struct obtained *ret);
