/* Any bytes as a lock file of some kind: what comes of it keeps what wanted.h promises.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cache/env/lock/lock.h"

void lock_input_try(enum lock_kind kind, const char *name, const uint8_t *data,
		    size_t size);
