/* Starting the server of a mount, and waiting until it serves. One thread. */
#pragma once

#include <sys/types.h>

#include "cache/base/error.h"

struct launch {
	const char *state_path, *socket_path;
	int fuse_fd, lock_fd, log_fd; /* inherited; log_fd as stderr */
	int hold_fd; /* open as long as the supervisor lives; -1: nothing */
	int gate_fd; /* not -1: the worker waits at it for the mount (ahead.h) */
};

/* A server that was started and has not said yet that it serves. */
struct launched {
	pid_t pid; /* a child of the caller, in a session of its own */
	int ready; /* where its word will come */
};

/*
 * Starts the supervisor of a mount (`venvfs-supervise`, which lies beside this program),
 * which starts its worker.
 */
int launch_server(const struct launch *launch, struct launched *ret,
		  struct error *reterr);
/*
 * Starts a supervisor for a mount whose own has died, and waits until it has taken the
 * mount over (or found that another one has).
 */
int launch_follower(const char *state_path, const char *socket_path,
		    struct error *reterr);
/* Opens this program, or the one at `venvfs`, and the supervisor beside it. */
int launch_open_programs(const char *venvfs, int ret_fds[2], struct error *reterr);
/*
 * Waits for the worker's word and closes l->ready. 0: it serves; else it has ended.
 * -EINTR: `signals` (a signalfd, or -1) can be read, and all of it was ended.
 */
int launch_wait(struct launched *l, int signals, struct error *reterr);
/* Waits until all of a server has ended by itself, or after some seconds ends it. */
void launch_let_end(struct launched *l);
/* Ends all of a server at once. */
void launch_end(const struct launched *l);
