/* The last step of a mount: mounting, and a server for it. One thread. */
#pragma once

#include <stdbool.h>

#include "cache/base/digest.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/launch.h"
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

/* A server that makes itself ready while the plan is made, and waits at `gate`. */
struct serve_ahead {
	struct launched server; /* pid -1: there is none */
	int fuse;               /* /dev/fuse, not mounted yet */
	int gate;
};
#define SERVE_AHEAD_NONE       \
	((struct serve_ahead){ \
	    .server = { .pid = -1, .ready = -1 }, .fuse = -1, .gate = -1 })

/*
 * Starts one, where this process mounts by mount(2); elsewhere *ret stays as it is. It
 * opens these images, in the order of layers, unless the upper lies elsewhere than in the
 * state directory: then it may be made anew before it is mounted, and the server must not
 * be limited to what is there now. It ends when the caller does, or by
 * serve_ahead_release(), unless mount_serve() has taken it.
 */
int serve_ahead_start(const struct serve_request *request, const char *upper,
		      const struct digest *images, size_t count, struct serve_ahead *ret,
		      struct error *reterr);
void serve_ahead_release(struct serve_ahead *ahead);

/*
 * Takes the server that was started ahead, if there is one; else starts it once it has
 * mounted. Returns when the mount is usable, or (foreground) was unmounted. On an error
 * nothing is mounted and no server is left. -EINTR: *ret_signal came before it was
 * usable; the caller is to die by it.
 */
int mount_serve(const struct serve_request *request, struct serve_ahead *ahead,
		int *ret_signal, struct error *reterr);
