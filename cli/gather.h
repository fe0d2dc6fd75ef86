/*
 * What an environment is made of, brought together for a command: caches, a lease on
 * them, the interpreter, the wheels and folders that were named. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/env/environment.h"
#include "cache/store/cache.h"
#include "cache/store/lease.h"
#include "cli/folders.h"
#include "cli/locks.h"
#include "cli/options.h"
#include "cli/wheels.h"

/* What commands that make an environment have in common on their command lines. */
struct gather_options {
	const char *python; /* --python, or NULL */
	struct lock_args locks;
	struct text_list layers; /* folders */
	bool seed;               /* pip, too */
	bool strict;             /* files that clash are refused */
	bool lenient;            /* --lenient-record */
	bool verbose;
};
void gather_options_release(struct gather_options *options);

/*
 * Rows of an option table, where GATHER_OFFSET(field) is defined: the offset of a field
 * of that struct. Not --layer, which not all have.
 */
/* clang-format off */
#define GATHER_LOCK(field) GATHER_OFFSET(locks.field)
#define GATHER_SOURCE(field) GATHER_OFFSET(locks.source.field)
#define GATHER_OPTION_SPECS \
	LOCK_OPTION_SPECS(GATHER_LOCK), \
	SOURCE_OPTION_SPECS(GATHER_SOURCE), \
	{ "python", 'p', OPTION_TEXT, GATHER_OFFSET(python), "PYTHON", \
	  "a version (3.12), a command or a path; else what the project says, or any" }, \
	{ "seed", 0, OPTION_FLAG, GATHER_OFFSET(seed), NULL, \
	  "pip too, as the Python brings it" }, \
	{ "strict", 0, OPTION_FLAG, GATHER_OFFSET(strict), NULL, \
	  "refuse wheels that have different files at one path" }, \
	{ "lenient-record", 0, OPTION_FLAG, GATHER_OFFSET(lenient), NULL, \
	  "take old wheels whose RECORD lists more or less than there is" }, \
	{ "verbose", 'v', OPTION_FLAG, GATHER_OFFSET(verbose), NULL, "say what is done" }
/* clang-format on */

struct gather_request {
	const char *who; /* the command, as the lease names it */
	const struct gather_options *options;
	char **wheels; /* files, URLs, name==version */
	size_t count;
};

struct gathered {
	struct cache *cache;
	struct lease *lease;
	struct interpreter *interpreter; /* NULL: there are no wheels */
	struct wheel_args wheels; /* files; the interpreter's pip first, if asked for */
	char *pip;                /* its path */
	struct locked locked; /* by locks, and what was fetched by URL or name==version */
	struct folder_args folders;
	/* Those of locks, then the files; opened when needed. */
	struct environment_wheel *env_wheels;
	size_t count;
};

/* A wheel file by its name, or one to be fetched; else it is a directory. */
bool is_wheel_operand(const char *text);

/* Fills `g`, all zero. Says what failed. Returns an exit status. */
int gather(const struct gather_request *q, struct gathered *g);
/* The images of the wheels, once nothing borrows them any more. */
void gathered_close_images(struct gathered *g);
/* At the end of the process (image_abandon()). */
void gathered_abandon_images(struct gathered *g);
void gathered_release(struct gathered *g);
