/* {"verb":"changes"}: what was changed in a mount, in pages that fit a message. */
#pragma once

#include <stdint.h>

#include "cache/base/json.h"

struct overlay;

/*
 * {"changes": [{"path", "kind", "change", "stamp"}...], "next": TEXT}: those from `from`
 * on (NULL: from the first), as many as fit; `next` is what to ask for the others by, and
 * without it there are none. What changes in between makes nothing else come twice, or
 * not at all. A path that is not UTF-8 is "bytes" in hex; of one that fits no message
 * there is only its "length". NULL without memory.
 */
json_t *answer_changes(struct overlay *overlay, const char *from);
