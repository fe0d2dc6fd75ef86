/* pip as each Python brings it: the wheel that ensurepip installs. Any thread. */
#pragma once

#include "cache/env/interpreter.h"

/* -ENOENT: it has none, and the text says what helps. The caller frees the path. */
int seed_find_pip(const struct interpreter *p, char **ret_path, struct error *reterr);
