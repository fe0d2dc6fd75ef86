/* Private to cache/env/lock: where a package of uv.lock comes from. */
#pragma once

#include "cache/env/lock/uv_graph.h"

/* `no_wheel`: of an index it is to be built, though there are wheels. */
int uv_source_add(struct reading *r, const struct uv_package *package, bool no_wheel);
