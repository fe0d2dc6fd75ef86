/* Starting workers, and when to give up. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fusefs/supervise/shared.h"

/* Descriptors by the numbers that they have in supervisor and worker alike. */
enum { FUSE_FD = 3, READY_FD = 4, LOCK_FD = 5, SHARED_FD = 6, FDS_END = 7 };

/* The program `venvfs` as the worker of a mount; a pid, or a negative errno. */
pid_t worker_start(const char *venvfs, const char *state_path, bool first);
/* The program `venvfs` as what unmounts it lazily. */
pid_t leaver_start(const char *venvfs, const char *state_path);

struct deaths {
	int64_t when[3]; /* of the last by a signal that is not SIGKILL: ms, monotonic */
	unsigned idle;   /* in a row without an answered request */
	uint64_t answered; /* at the last start */
};

/*
 * Notes the end of a worker. NULL: another may be tried; else why not, for the log: it
 * died three times within ten seconds by signals other than SIGKILL, or twenty times in a
 * row without an answered request.
 */
const char *deaths_note(struct deaths *d, int wait_status, uint64_t answered,
			int64_t now);
