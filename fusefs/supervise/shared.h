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
	SHARED_VERSION = 3,
	SHARED_THREADS = 16, /* that may serve at once */
	SHARED_OPCODES = 64,
	SHARED_DONE = 256,
	SHARED_INIT = 512,       /* bytes of an INIT request */
	SHARED_HEAD = 64 << 10,  /* where buffers begin; a multiple of pages */
	SHARED_BUFFER = 0x50000, /* 256 KiB of data and 64 KiB */
	SOCKET_EVERY = 5000,     /* ms from one look at a socket's name to the next */
	SHARED_NUMBER_AT = 8,    /* of the number in the header of a buffer's message */
	SHARED_REPLY = 256,      /* more than any reply to what changes something */
};
/*
 * An eventfd that a worker inherits: what is written to it has the supervisor take the
 * mount out of sight. No argument tells of it; a supervisor of an earlier version leaves
 * the number closed.
 */
enum { BELL_FD = 8 };
/*
 * A pipe that the first worker of a mount may inherit, likewise: it is closed once there
 * is a mount, or shall be none (fusefs/serve/ahead.h).
 */
enum { GATE_FD = 9 };
/* In the state directory of a mount that was given up: "<seconds since 1970> <why>". */
#define ENDED_FILE "ended"
/* There too: the control socket, when it cannot be where mount.json says. */
#define SOCKET_FILE "socket"
#define SHARED_MAGIC UINT32_C(0x76667368) /* "vfsh" */
#define SHARED_COUNTS_AT ((size_t)SHARED_HEAD + (size_t)SHARED_THREADS * SHARED_BUFFER)
/* Address space for overlay/counts.h; only what is touched takes memory. */
#define SHARED_COUNTS_SIZE ((size_t)SHARED_HEAD + (size_t)32 * (64 << 20))
#define SHARED_SIZE (SHARED_COUNTS_AT + SHARED_COUNTS_SIZE)

/*
 * How far a request got that a thread has received: together with the number (`unique`)
 * in the header of the buffer's message this is one of three states. Each step is one
 * store, the first one the kernel's while it hands the message out, so whoever comes
 * after a SIGKILL finds one of them (fusefs/serve/pending.h):
 *
 *   number in the buffer   reply_size   the request
 *   0                      any          there is none, or it was answered
 *   not 0                  0            was not answered; or it was by a longer reply
 *                                       than is kept, which changed nothing: run it
 *   not 0                  not 0        was done, and may have been answered: what is
 *                                       kept is sent (again), and nothing is run
 */
struct shared_slot {
	_Atomic(uint64_t) unique; /* 0: none; without the bit of one that comes again */
	_Atomic(uint64_t) since;  /* CLOCK_MONOTONIC, ns */
	_Atomic(uint32_t) opcode; /* as it was received: that in the buffer may change */
	_Atomic(uint32_t) forgotten;  /* entries of a FORGET */
	_Atomic(uint32_t) reply_size; /* of `reply`; 0: none is kept */
	uint8_t reply[SHARED_REPLY];
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
	_Atomic(uint64_t)
	    canary; /* stands where nothing was received; 0: not drawn yet */
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
