/*
 * How often the kernel was told of each node, and which of them are orphans: unlinked,
 * waiting to be forgotten. All the memory that grows with what is visited: about 32 bytes
 * a node. It may be shared with the next server of the mount, so it is right whenever
 * this one is killed: what is added is there before it counts. Any thread.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	COUNT_SHARDS = 16,
	COUNT_ARENA = 64 << 20, /* bytes; a shard has two, one of them in use */
	COUNT_HEAD = 64 << 10,
};
/* Address space; only what is touched takes memory. */
#define COUNTS_SIZE ((size_t)COUNT_HEAD + (size_t)COUNT_SHARDS * 2 * COUNT_ARENA)

/* In `count`, beside the number. */
#define COUNT_ORPHAN (UINT64_C(1) << 63)

struct count {
	_Atomic(uint64_t) node; /* 0: free; COUNT_GONE: was in use */
	_Atomic(uint64_t) count;
};
#define COUNT_GONE UINT64_MAX

/*
 * What is being taken off in a shard: a successor, which finds the shard's lock free, can
 * finish it, as nobody else has had that lock since.
 */
struct count_note {
	_Atomic(uint64_t) node, left; /* 0: it goes */
	_Atomic(int64_t) done;        /* of count_once, from the memory's start */
	_Atomic(uint32_t) entry;
	_Atomic(uint32_t) begun;
};

struct count_shard {
	pthread_mutex_t lock;
	struct count_note *note;  /* in memory */
	_Atomic(uint64_t) *state; /* in memory: log2 of the table's room, and its arena */
	struct count *arenas[2];
	size_t used, live; /* guarded by lock: with and without those that are gone */
};

struct counts {
	struct count_shard shards[COUNT_SHARDS];
	void *memory;
	bool own; /* made by counts_init() */
};

/* `memory`: COUNTS_SIZE bytes, zeros or what an earlier server left; NULL: its own. */
int counts_init(struct counts *c, void *memory);
void counts_release(struct counts *c);
int counts_add(struct counts *c, uint64_t node); /* -ENOMEM */
/* What is taken off once, though a successor has the same message and comes to it again.
 */
struct count_once {
	uint32_t entry;          /* of the message; they come in order */
	_Atomic(uint32_t) *done; /* how many were; in the same map as the memory */
};
/* True when the kernel knows it no more and it was an orphan. `once` may be NULL. */
bool counts_sub(struct counts *c, uint64_t node, uint64_t count,
		const struct count_once *once);
/* True when the kernel does not know it, so that nobody will forget it. */
bool counts_set_orphan(struct counts *c, uint64_t node, bool orphan);
