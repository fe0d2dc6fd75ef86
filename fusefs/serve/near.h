/*
 * Serving threads kept on the CPU of a client that asks alone.
 *
 * A client waits for its answer, so it and the thread that serves it never run at once.
 * The kernel puts a woken thread on an idle CPU all the same, and to wake that CPU, and
 * the client's again for the answer, costs more than the work in between (on a virtual
 * machine most of all; ARCHITECTURE, Measurements). So after a number of requests in a
 * row from one thread the serving threads go to its CPU, and away from it with the first
 * request of another, and when it has gone elsewhere. READ is nothing to come near for:
 * who waits for a page is woken on an idle CPU. So after a READ among other requests the
 * client is looked for again at the next one, and followed; where READs are many they
 * stay away. Where the client's CPU cannot be told (another PID namespace, no /proc)
 * nothing is done.
 */
#pragma once

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct near {
	int proc_fd;      /* of /proc, owned; negative: nothing is done */
	cpu_set_t all;    /* where the server may run */
	atomic_uint last; /* the thread that asked last, as the kernel numbers it to us */
	atomic_uint row;  /* how many requests in a row it has made */
	atomic_uint rest; /* and how many since its last READ */
	atomic_int cpu;   /* where to serve; NEAR_ANYWHERE */
	atomic_bool woken; /* by a page, since it was found */
};

/* Requests in a row: before a client's CPU is looked for, and before it is again. */
enum { NEAR_ANYWHERE = -1, NEAR_ROW = 8, NEAR_AGAIN = 128 };

enum near_kind {
	NEAR_COUNTS, /* its client waits for the answer */
	NEAR_PAGES,  /* its client waits for a page: nothing to come near for */
	NEAR_ASIDE,  /* nobody waits */
};

/* With `wanted` false nothing is ever done. */
void near_init(struct near *near, bool wanted);
void near_finish(struct near *near);

/* A request of thread `client` (0: unknown): true when it is time to ask where that runs.
 */
bool near_count(struct near *near, uint32_t client, enum near_kind kind);
/* A client was found on `cpu` (or negative: nowhere). */
void near_found(struct near *near, int cpu);
/* The last CPU of a thread, as its /proc/TID/stat tells; or a negative errno. */
int near_cpu_of_stat(const char *stat);

/* Before a request is served, by the thread that serves it. */
void near_request(struct near *near, uint32_t client, enum near_kind kind);
/* This thread begins what takes long: it and the others may run anywhere. */
void near_leave(struct near *near);
