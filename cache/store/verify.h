/*
 * `cache verify`: every note, image and object read and checked in full. Wheels and
 * folders whose image is damaged are forgotten, so that adding them again mends the
 * cache. Any thread; safe beside readers and adders.
 */
#pragma once

#include <stdint.h>

#include "cache/base/error.h"

struct store;

struct verify_result {
	uint64_t wheels, folders, images, objects; /* checked */
	uint64_t bytes;                            /* read */
	uint64_t bad;                              /* each was reported once */
};
/* `report` gets one line for each thing that is wrong. */
typedef void verify_report(void *context, const char *line);
/* Called for each file; `count`: how many there were of them at first. */
typedef void verify_progress(void *context, uint64_t done, uint64_t count,
			     const char *name);
/* `progress` may be NULL. Negative only when verifying itself could not go on. */
int store_verify(struct store *store, verify_report *report, verify_progress *progress,
		 void *context, struct verify_result *ret);
