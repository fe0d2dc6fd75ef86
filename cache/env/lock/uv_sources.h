/* Private to cache/env/lock: where a package of uv.lock comes from. */
#pragma once

#include "cache/env/lock/uv_graph.h"

int uv_source_add(struct reading *r, const struct uv_package *package);
