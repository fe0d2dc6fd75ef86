/* Starting workers, and when to give up. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fusefs/supervise/shared.h"

/* Descriptors by the numbers that they have in supervisor and worker alike. */
enum {
	FUSE_FD = 3,
	READY_FD = 4,
	LOCK_FD = 5,
	SHARED_FD = 6,
	GO_FD = 7,   /* in workers that wait */
	HOLD_FD = 7, /* in a supervisor that begins: it keeps it open, if there is one */
	/* BELL_FD = 8, GATE_FD = 9, of shared.h */
	OWN_FDS = 10, /* where the supervisor's own begin */
};

/*
 * A worker of a mount. The arguments and descriptors that it gets are a contract with
 * later versions, which a supervisor of this one starts when it is upgraded: change none,
 * add at the end.
 */
struct worker_request {
	int program; /* venvfs, to be executed whatever its path has become; close-on-exec
		      */
	const char *state_path;
	int words; /* where it writes "ready", or what went wrong; -1: nowhere */
	int bell;  /* -1: none */
	int gate;  /* where the first one waits for the mount; -1: it is mounted */
	int go;    /* not -1: it says "prepared" before it opens the upper, and waits
		    * there for a byte; nobody at the other end: it ends */
};

/* A pid, or a negative errno. */
pid_t worker_start(const struct worker_request *q);

/* The program `venvfs` as what unmounts it lazily. */
pid_t leaver_start(int program, const char *state_path);

struct deaths {
	int64_t when[3]; /* of the last by a signal that is not SIGKILL: ms, monotonic */
	unsigned idle;   /* in a row without an answered request */
	uint64_t answered; /* at the last start */
};

/* What is known of the end of a worker that is not a child. */
enum { STATUS_UNKNOWN = -1 };

/*
 * Notes the end of a worker. NULL: another may be tried; else why not, for the log: it
 * died three times within ten seconds by signals other than SIGKILL, or twenty times in a
 * row without an answered request.
 */
const char *deaths_note(struct deaths *d, int wait_status, uint64_t answered,
			int64_t now);
/*
 * How many ms to wait after one that ended by itself: what keeps it from starting may
 * pass, and twenty in a row take eight seconds.
 */
int64_t deaths_pause(const struct deaths *d);
