/*
 * Bytes kept aside until the end: in memory up to a limit, beyond it in a nameless
 * temporary file. Private to cache/store. One thread at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cache/base/bytes.h"

struct spool {
	struct buffer memory;
	int fd; /* -1: all in memory */
	uint64_t size;
};

#define SPOOL_INIT ((struct spool){ .fd = -1 })

void spool_release(struct spool *s);
/* `dirfd` is where a temporary file goes when one is needed (-1: never, all in memory).
 */
int spool_append(struct spool *s, int dirfd, const void *bytes, size_t size);
int spool_read(const struct spool *s, uint64_t offset, void *ret_bytes, size_t size);
