/*
 * The process that serves one mount: all that it needs lies in the state directory.
 */
#pragma once

#include "cache/base/error.h"

/* Descriptors that a server inherits; it owns them. */
struct server_fds {
	int fuse;   /* /dev/fuse, mounted */
	int ready;  /* one line is written to it: "ready", or what went wrong; then closed
		     */
	int lock;   /* holds the state's lock as long as the server lives */
	int shared; /* memory that the supervisor made (supervise/shared.h) */
};

/* Serves until the mount is gone; an exit status. Call it once in a process. */
int server_run(const char *state_path, const struct server_fds *fds);
