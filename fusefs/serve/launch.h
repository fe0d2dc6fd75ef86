/* Starting the server of a mount, and waiting until it serves. One thread. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cache/base/error.h"
#include "fusefs/serve/server.h"

/*
 * Starts this program again as `venvfs serve-mount` with the three descriptors
 * (fds->ready is made here), its stderr going to log_fd, and waits for its word. 0: it
 * serves; *ret_pid is a child of the caller when `foreground`, else it is in a session of
 * its own.
 */
int launch_server(const char *state_path, const struct server_fds *fds, int log_fd,
		  bool foreground, pid_t *ret_pid, struct error *reterr);
