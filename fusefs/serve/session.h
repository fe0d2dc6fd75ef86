/*
 * A FUSE session over a descriptor of /dev/fuse that is mounted already: our own read
 * loop over libfuse's session, a few threads, and counters of what the kernel asked for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"

struct log;
struct session;
struct overlay;
struct shared;

struct session_options {
	int fuse_fd;             /* the session's */
	struct overlay *overlay; /* borrowed */
	struct shared *shared;   /* all of it, borrowed */
	struct log *log;         /* borrowed */
	unsigned features;       /* that may be used: enum feature */
	unsigned threads;        /* at least 1 */
	bool near;               /* serve on the CPU of who asks alone (near.h) */
	/* Called once, from a serving thread, when the kernel's INIT was answered. */
	void (*on_ready)(void *context);
	void *context;
};

int session_new(const struct session_options *options, struct session **ret,
		struct error *reterr);
/* A serving thread begins, or has ended, what takes long: another serves meanwhile. */
void session_blocking(struct session *session, bool begins);
/* Serves until the mount is gone: 0, or a negative errno when it could not serve on. */
int session_run(struct session *session);
void session_free(struct session *session);
DEFINE_CLEANUP(struct session *, session_free);
