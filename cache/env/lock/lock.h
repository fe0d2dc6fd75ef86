/*
 * Lock files: found in a project, read, and turned into what an environment is made of
 * for one interpreter. pylock.toml (PEP 751), uv.lock (version 1) and pinned
 * requirements. Any thread, one at a time for one struct.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/bytes.h"
#include "cache/base/cleanup.h"
#include "cache/base/error.h"
#include "cache/env/lock/input.h"
#include "cache/env/lock/target.h"
#include "cache/source/wanted.h"

enum lock_kind { LOCK_PYLOCK, LOCK_UV, LOCK_REQUIREMENTS };

struct lock_file {
	enum lock_kind kind;
	char *path;    /* absolute */
	char *folder;  /* the one that it lies in, absolute; what its paths start from */
	char *project; /* of uv.lock: the project that is meant, `folder` or below it */
};

/* Lists of names as they were given; all is borrowed. */
struct lock_names {
	const char *const *names;
	size_t count;
};

/* As the options of `uv sync` of these names. */
struct lock_options {
	struct lock_names extras, no_extras, groups, no_groups, only_groups;
	bool all_extras, all_groups, no_default_groups, no_dev, only_dev;
	bool all_packages, no_project, no_editable;
	/* Of uv.lock, beside what uv's settings say: all is built, or these, with spaces
	 * between; NULL: none. */
	bool no_binary;
	const char *no_binary_packages;
};

/*
 * The lock of the project that `directory` is in, the nearest directory upwards with a
 * pyproject.toml: its pylock.toml, uv.lock or requirements.txt; a member of a workspace
 * is locked by the uv.lock of its root. Without such a project: that of the nearest
 * directory upwards that has one. -ENOENT with a text that says how to make one.
 */
int lock_find(const char *directory, struct lock_file *ret, struct error *reterr);
/* A file that was named; its name tells what it is. -EINVAL: it does not. */
int lock_name(const char *path, struct lock_file *ret, struct error *reterr);
/* It is a requirements file, whatever its name. */
int lock_name_requirements(const char *path, struct lock_file *ret, struct error *reterr);
void lock_file_release(struct lock_file *file);

/* What was read on the way, and lines for people. */
struct lock_notes {
	struct buffer warnings; /* lines */
	struct inputs inputs;   /* all files that the result depends on */
};
void lock_notes_release(struct lock_notes *notes);

/*
 * Adds what the file wants to `wanted` (which may hold what other files want: of one
 * distribution two versions are an error). -EBADMSG: it is damaged, or no lock of a kind
 * that is known; -EINVAL: it does not fit the interpreter or the options.
 */
int lock_read(const struct lock_file *file, const struct lock_options *options,
	      const struct target *target, struct wanted *wanted,
	      struct lock_notes *notes, struct error *reterr);
