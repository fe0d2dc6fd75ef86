/*
 * From an open wheel to a published image. A wheel is unpacked in ranges of members, each
 * a piece of work for any thread, so that one large wheel keeps all cores busy: only
 * handing finished files to the image writer is serial.
 */
#pragma once

#include "cache/store/store.h"
#include "cache/wheel/wheel.h"

struct unpack;

/* The wheel and the store are borrowed. */
int unpack_new(struct store *store, struct wheel *wheel, struct unpack **ret);
void unpack_free(struct unpack *u);
DEFINE_CLEANUP(struct unpack *, unpack_free);

/* How many ranges there are; unpack_range() is called once for each, by any thread. */
uint32_t unpack_ranges(const struct unpack *u);
int unpack_range(struct unpack *u, uint32_t range, struct error *reterr);

/* After all ranges succeeded: what the installer adds, and the image published. */
int unpack_finish(struct unpack *u, struct digest *ret_image, struct error *reterr);
