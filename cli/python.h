/* The Python that a command is to work with. One thread. */
#pragma once

#include "cache/env/interpreter.h"
#include "cache/store/cache.h"

/*
 * `wanted`: --python, or NULL: what the project that we are in asks for, in
 * .python-version, or any. `for_project`: one that its requires-python allows.
 */
int python_find(struct cache *cache, const char *wanted, bool for_project,
		struct interpreter **ret, struct error *reterr);
