/* The directory of content and the cache of its descriptors. Private to fusefs/upper. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fusefs/upper/content.h"

enum { CONTENT_SETS = 64, CONTENT_WAYS = 4, CONTENT_BITS = 1 << 19 };

struct content_slot {
	uint64_t node; /* 0: free */
	int fd;
	unsigned users;
	uint64_t used; /* when, by the set's clock */
};

struct content_set {
	pthread_mutex_t lock;
	uint64_t clock;                          /* guarded by lock */
	struct content_slot slots[CONTENT_WAYS]; /* guarded by lock */
};

struct content {
	int fd;    /* files/, opened at the first use; -1 */
	int stage; /* staging/ */
	struct content_set sets[CONTENT_SETS];
	/* Nodes from this one on had none at the start. Where the bit of such a node, by
	 * its number, is 0, it has none now: no system call has to tell. */
	uint64_t from;
	_Atomic(uint64_t) made[CONTENT_BITS / 64];
};

void content_init(struct content *c);
void content_release(struct content *c);
/* Opens files/ and staging/ below the upper's directory, made when `create`. */
int content_attach(struct content *c, int upper_fd, bool create);

/* Calls `visit` for each node that has a file; its result other than 0 ends it. */
typedef int content_visit(void *context, uint64_t node);
int content_each(struct upper *u, content_visit *visit, void *context);
