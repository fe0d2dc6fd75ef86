/*
 * What decides whether a project's own directory has to be built again, as uv has it: its
 * cache-keys, which are pyproject.toml, setup.py, setup.cfg and whether there is a src,
 * unless [tool.uv] names others. Never what the code in it says. Any thread.
 */
#pragma once

#include "cache/base/digest.h"
#include "cache/base/json.h"

/* The keys of the project in `folder`; the caller's reference. What makes no sense in
 * pyproject.toml is kept, and stamp_take() refuses it. */
int stamp_keys(const char *folder, json_t **ret_keys);

/*
 * How all that the keys name looks now. -EINVAL: they name something that is not known
 * here, so that nobody can tell whether it changed.
 */
int stamp_take(const char *folder, const json_t *keys, struct digest *ret);
