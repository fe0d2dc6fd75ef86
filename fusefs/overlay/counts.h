/*
 * How often the kernel was told of each node, and which of them are orphans: unlinked,
 * waiting to be forgotten. All the memory that grows with what is visited: 16 bytes a
 * node. Any thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COUNT_SHARDS = 16 };

/* In `count`, beside the number. */
#define COUNT_ORPHAN (UINT64_C(1) << 63)

struct count {
	uint64_t node; /* 0: free */
	uint64_t count;
};

struct count_shard {
	pthread_mutex_t lock;
	struct count *table; /* open addressing; guarded by lock, as are sizes */
	size_t used, room;
};

struct counts {
	struct count_shard shards[COUNT_SHARDS];
};

void counts_init(struct counts *c);
void counts_release(struct counts *c);
int counts_add(struct counts *c, uint64_t node); /* -ENOMEM */
/* True when the kernel knows it no more and it was an orphan. */
bool counts_sub(struct counts *c, uint64_t node, uint64_t count);
/* True when the kernel does not know it, so that nobody will forget it. */
bool counts_set_orphan(struct counts *c, uint64_t node, bool orphan);
