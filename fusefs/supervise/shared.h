/*
 * What outlives a worker: memory that the supervisor makes and every worker of a mount
 * maps in turn. It holds what the next one needs (the kernel's INIT, lookup counts,
 * requests in flight) and what is told of a mount while its worker hangs. Only one worker
 * writes at a time; it may be killed between any two stores.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SHARED_VERSION = 1,
	SHARED_THREADS = 16, /* that may serve at once */
	SHARED_OPCODES = 64,
	SHARED_DONE = 256,
	SHARED_INIT = 512,        /* bytes of an INIT request */
	SHARED_HEAD = 64 << 10,   /* where buffers begin; a multiple of pages */
	SHARED_BUFFER = 0x110000, /* 1 MiB of data and 64 KiB */
};
#define SHARED_MAGIC UINT32_C(0x76667368) /* "vfsh" */
#define SHARED_COUNTS_AT ((size_t)SHARED_HEAD + (size_t)SHARED_THREADS * SHARED_BUFFER)
/* Address space for overlay/counts.h; only what is touched takes memory. */
#define SHARED_COUNTS_SIZE ((size_t)SHARED_HEAD + (size_t)32 * (64 << 20))
#define SHARED_SIZE (SHARED_COUNTS_AT + SHARED_COUNTS_SIZE)

/* A request that a thread has received and not answered yet. */
struct shared_slot {
	_Atomic(uint64_t) unique; /* 0: none; without the bit of one that comes again */
	_Atomic(uint64_t) since;  /* CLOCK_MONOTONIC, ns */
	_Atomic(uint32_t) opcode;
};

/*
 * Requests that were committed by a worker that died before it could reply: one a death.
 * Kept, as the next worker may die before it comes to them.
 */
struct shared_done {
	_Atomic(uint64_t) unique; /* 0: none */
	_Atomic(uint64_t) node;   /* that it made */
};

struct shared {
	uint32_t magic, version;
	int64_t since; /* when it was mounted: seconds since 1970 */
	_Atomic(int32_t) supervisor, worker;
	_Atomic(uint32_t) restarts;
	_Atomic(uint32_t) init_size; /* 0: the kernel has not asked yet */
	uint8_t init[SHARED_INIT];
	_Atomic(uint64_t) answered;
	_Atomic(uint64_t) requests[SHARED_OPCODES];
	_Atomic(uint64_t) errors, bytes_read, bytes_written, copy_ups;
	struct shared_slot slots[SHARED_THREADS];
	_Atomic(uint32_t) deaths; /* how many were written to `done` so far */
	struct shared_done done[SHARED_DONE];
};
_Static_assert(sizeof(struct shared) <= SHARED_HEAD, "the head holds it");

static inline void *shared_buffer(struct shared *s, unsigned thread)
{
	return (uint8_t *)s + SHARED_HEAD + (size_t)thread * SHARED_BUFFER;
}

static inline void *shared_counts(struct shared *s)
{
	return (uint8_t *)s + SHARED_COUNTS_AT;
}
