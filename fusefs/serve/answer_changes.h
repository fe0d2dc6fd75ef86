/* {"verb":"changes"}: what was changed in a mount, in pages that fit a message. */
#pragma once

#include <stdint.h>

#include "cache/base/json.h"

struct overlay;

/*
 * {"changes": [{"path", "kind", "change", "stamp"}...], "next": N}: those from the
 * `from`-th on, as many as fit; without "next" there are no more. A path that is not
 * UTF-8 is "bytes" in hex. NULL without memory.
 */
json_t *answer_changes(struct overlay *overlay, int64_t from);
