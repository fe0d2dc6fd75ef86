/*
 * Does the worker hang? It does when a request has been under way for long, or when
 * requests wait in the kernel and none is answered: a worker that is stopped, or whose
 * threads all wait, does not take them. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fusefs/supervise/shared.h"

enum {
	WATCH_EVERY = 5000, /* ms from one look to the next */
	/*
	 * ms. What a healthy worker does for one request is bounded by the disk: a copy
	 * of one file, a flush. Longer than this is either no health, or a file of some
	 * gigabytes, and then it is worth saying too.
	 */
	WATCH_HANGS = 10000,
};

struct watch {
	uint64_t answered; /* at the last look */
	int64_t since;     /* requests have waited unanswered since; 0: none do. ms */
	struct {
		uint64_t number; /* of what its buffer holds; 0: nothing */
		int64_t since;   /* when that was seen first. ms */
	} threads[SHARED_THREADS];
	bool said; /* that it hangs */
};

/*
 * How long it has not got on, in ms. shared_fd: of that memory as a whole. `now`:
 * CLOCK_MONOTONIC, ms.
 */
int64_t watch_look(struct watch *w, struct shared *shared, int shared_fd, int fuse_fd,
		   int64_t now);
