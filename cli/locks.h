/*
 * Lock files of the command line, or of the project that we are in, brought into the
 * cache as wheels. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "cache/build/record.h"
#include "cache/env/interpreter.h"
#include "cache/env/lock/lock.h"
#include "cache/store/cache.h"
#include "cli/options.h"
#include "cli/sources.h"

struct lock_args {
	const char *lock;
	struct text_list requirements, extras, no_extras, groups, no_groups, only_groups;
	bool all_extras, all_groups, no_default_groups, no_dev, only_dev;
	bool all_packages, no_project, no_editable, no_build;
	struct source_options source;
};
void lock_args_release(struct lock_args *args);

/* Rows of an option table; OFFSET(field) is the offset of a field of that struct. */
/* clang-format off */
#define LOCK_OPTION_SPECS(OFFSET) \
	{ "lock", 0, OPTION_TEXT, OFFSET(lock), "FILE", \
	  "a lock file: pylock.toml, pylock.NAME.toml or uv.lock" }, \
	{ "requirement", 'r', OPTION_LIST, OFFSET(requirements), "FILE", \
	  "a requirements file that pins all versions; may be repeated" }, \
	{ "extra", 0, OPTION_LIST, OFFSET(extras), "EXTRA", \
	  "with this extra of the project" }, \
	{ "all-extras", 0, OPTION_FLAG, OFFSET(all_extras), NULL, \
	  "with all extras" }, \
	{ "no-extra", 0, OPTION_LIST, OFFSET(no_extras), "EXTRA", \
	  "without it, when all are taken" }, \
	{ "group", 0, OPTION_LIST, OFFSET(groups), "GROUP", \
	  "with this dependency group, too" }, \
	{ "all-groups", 0, OPTION_FLAG, OFFSET(all_groups), NULL, \
	  "with all dependency groups" }, \
	{ "no-group", 0, OPTION_LIST, OFFSET(no_groups), "GROUP", \
	  "without this dependency group" }, \
	{ "no-default-groups", 0, OPTION_FLAG, OFFSET(no_default_groups), NULL, \
	  "without those that are taken by default" }, \
	{ "only-group", 0, OPTION_LIST, OFFSET(only_groups), "GROUP", \
	  "this group, and not the project" }, \
	{ "no-dev", 0, OPTION_FLAG, OFFSET(no_dev), NULL, \
	  "without the group dev" }, \
	{ "only-dev", 0, OPTION_FLAG, OFFSET(only_dev), NULL, \
	  "the group dev, and not the project" }, \
	{ "all-packages", 0, OPTION_FLAG, OFFSET(all_packages), NULL, \
	  "what all members of the workspace need" }, \
	{ "no-install-project", 0, OPTION_FLAG, OFFSET(no_project), NULL, \
	  "what the project needs, without itself" }, \
	{ "no-editable", 0, OPTION_FLAG, OFFSET(no_editable), NULL, \
	  "the project and all else as built, not as editables" }, \
	{ "no-build", 0, OPTION_FLAG, OFFSET(no_build), NULL, \
	  "build nothing: leave out what has no wheel" }
/* clang-format on */

/* One wheel that a lock came to. */
struct locked_wheel {
	struct wheel_note note;
	struct build_record record; /* what is noted beside it, and how it was built */
};

struct locked {
	struct locked_wheel *wheels; /* ordered by name */
	size_t count;
	struct lock_file *files; /* the locks themselves */
	size_t file_count;
	json_t *inputs;        /* as in struct inputs: all files that were read */
	struct timespec began; /* before the first of them was */
};
void locked_release(struct locked *locked);

/*
 * Are locks to be read, beside so many wheels and folders that were named? When one was
 * named, or anything said of one; or when nothing was named at all. `seed`: pip is
 * enough, where there is no lock. NULL: no.
 */
const struct lock_args *lock_args_apply(const struct lock_args *args, size_t named,
					bool seed);

/*
 * Reads the locks that were named, or the project's, and brings what they want into the
 * cache; says what failed, and when `verbose` where each wheel came from. Exit status.
 */
struct lock_request {
	const struct lock_args *args;
	const struct interpreter *interpreter;
	bool lenient, verbose;
};
int locks_get(struct cache *cache, const struct lock_request *request,
	      struct locked *ret);
