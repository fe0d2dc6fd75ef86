/* Starting the server of a mount, and waiting until it serves. One thread. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cache/base/error.h"
#include "fusefs/serve/server.h"

/* A server that was started and has not said yet that it serves. */
struct launched {
	pid_t pid; /* a child of the caller; not `foreground`: in a session of its own */
	int ready; /* where its word will come */
};

/*
 * Starts this program again as `venvfs serve-mount` with the three descriptors
 * (fds->ready is made here), its stderr going to log_fd.
 */
int launch_server(const char *state_path, const struct server_fds *fds, int log_fd,
		  bool foreground, struct launched *ret, struct error *reterr);
/* Waits for the server's word and closes l->ready. 0: it serves; else it has ended. */
int launch_wait(struct launched *l, struct error *reterr);
