/* The last step of a mount: mounting, and a server for it. One thread. */
#pragma once

#include <stdbool.h>

#include "fusefs/serve/device.h"
#include "fusefs/serve/state.h"

struct serve_request {
	const struct state *state; /* whose plan is written */
	const char *path;          /* canonical */
	const char *socket_path;   /* of the control socket */
	int dirfd;                 /* O_PATH, of what is covered; is closed */
	int lock;                  /* the state's, which the server goes on holding */
	int upper_lock;            /* of upper_hold(), likewise; -1: none */
	bool foreground;
	struct device_options device;
	/* Called while the server starts, on another core where there is one; an error of
	 * it is one of the mount. NULL: there is nothing to do. */
	int (*meanwhile)(void *context, struct error *reterr);
	void *context;
};

/*
 * Returns when the mount is usable, or (foreground) was unmounted. On an error nothing is
 * mounted and no server is left. -EINTR: *ret_signal came before it was usable; the
 * caller is to die by it.
 */
int mount_serve(const struct serve_request *request, int *ret_signal,
		struct error *reterr);
