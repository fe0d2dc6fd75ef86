/* Which Python a command means. One thread. */
#pragma once

#include "cache/base/error.h"
#include "cache/env/interpreter.h"

struct store;

/*
 * `wanted` is --python, or NULL: what the environment and the project here ask for
 * (cache/env/discover.h); pyproject.toml has the last word.
 */
int python_find(struct store *store, const char *wanted, struct interpreter **ret,
		struct error *reterr);
