/*
 * The bytes of a wheel's members, out of the zip file or out of the folder where somebody
 * else unpacked it. One thread at a time; any number at once for one wheel. Private to
 * cache/wheel.
 */
#pragma once

#include "cache/wheel/wheel.h"

struct wheel_bytes;

/* Of the members [first, end) of the wheel, which is borrowed. */
int wheel_bytes_open(const struct wheel *wheel, uint32_t first, uint32_t end,
		     struct wheel_bytes **ret, struct error *reterr);
void wheel_bytes_free(struct wheel_bytes *bytes);
DEFINE_CLEANUP(struct wheel_bytes *, wheel_bytes_free);

/* Goes to the next one. -EBADMSG: it is not where it should be. */
int wheel_bytes_next(struct wheel_bytes *bytes, struct error *reterr);
/* Its next bytes, borrowed until the next call; *ret_size is 0 at its end. */
int wheel_bytes_read(struct wheel_bytes *bytes, const void **ret_bytes, size_t *ret_size,
		     struct error *reterr);
