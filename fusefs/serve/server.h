/*
 * The process that serves one mount: all that it needs lies in the state directory.
 */
#pragma once

#include "cache/base/error.h"

/* Descriptors that a server inherits; it owns them. */
struct server_fds {
	int fuse;   /* /dev/fuse, mounted */
	int ready;  /* not -1: a line is written to it, "ready" or what went wrong; then
		     * it is closed */
	int go;     /* not -1: "prepared" is said before the upper is opened, and a byte
		     * waited for here; at its end the server ends */
	int lock;   /* holds the state's lock as long as the server lives */
	int shared; /* memory that the supervisor made (supervise/shared.h) */
};

/* Serves until the mount is gone; an exit status. Call it once in a process. */
int server_run(const char *state_path, const struct server_fds *fds);
