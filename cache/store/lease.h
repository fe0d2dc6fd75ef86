/*
 * Leases keep gc away. A lease is a file in leases/ that its holder keeps locked (flock),
 * so that it ends with the process whatever ends it; it names the images in use, or none
 * yet: a lease without names pins everything. Take it before the first lookup. One thread
 * at a time.
 */
#pragma once

#include <stddef.h>

#include "cache/base/cleanup.h"
#include "cache/base/digest.h"

struct store;
struct lease;

/* On a cache that cannot be written there is nothing to hold: a lease of no effect. */
int lease_take(struct store *store, const char *who, struct lease **ret);
/* From now on it pins just these images. */
int lease_narrow(struct lease *lease, const struct digest *images, size_t count);
void lease_free(struct lease *lease);
DEFINE_CLEANUP(struct lease *, lease_free);
