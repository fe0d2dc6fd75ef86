/*
 * What an environment is made of, brought together for a command: caches, a lease on
 * them, the interpreter, the wheels and folders that were named. One thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/env/environment.h"
#include "cache/store/cache.h"
#include "cache/store/lease.h"
#include "cli/folders.h"
#include "cli/locks.h"
#include "cli/options.h"
#include "cli/wheels.h"

struct gather_request {
	const char *who;    /* the command, as the lease names it */
	const char *python; /* --python, or NULL */
	char **wheels;      /* files */
	size_t count;
	const struct lock_args *locks;  /* lock files, too; or NULL */
	const struct text_list *layers; /* folders; or NULL */
	bool lenient;                   /* --lenient-record */
	bool seed;                      /* --seed: pip, too */
	bool verbose;
};

struct gathered {
	struct cache *cache;
	struct lease *lease;
	struct interpreter *interpreter; /* NULL: there are no wheels */
	struct wheel_args wheels; /* files; the interpreter's pip first, if asked for */
	char *pip;                /* its path */
	struct locked locked;
	struct folder_args folders;
	/* Those of locks, then the files; opened when needed. */
	struct environment_wheel *env_wheels;
	size_t count;
};

/* Fills `g`, all zero. Says what failed. Returns an exit status. */
int gather(const struct gather_request *q, struct gathered *g);
/* The images of the wheels, once nothing borrows them any more. */
void gathered_close_images(struct gathered *g);
void gathered_release(struct gathered *g);
