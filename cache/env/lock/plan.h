/*
 * What a lock came to, remembered in the cache, so that the next time nothing of it is
 * parsed: which wheels, for one interpreter and one set of options. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/digest.h"
#include "cache/base/json.h"
#include "cache/build/record.h"
#include "cache/env/lock/lock.h"

struct store;

struct lock_plan {
	struct build_record *wheels; /* in the order of their names */
	size_t count;
	char *notes;    /* lines for people, as they were said the first time; or NULL */
	json_t *inputs; /* as in struct inputs; set by lock_plan_load() */
};

void lock_plan_release(struct lock_plan *plan);

/*
 * What a plan is found by: `options` is any text that names all that it depends on beside
 * the files and the interpreter.
 */
struct digest lock_plan_key(const struct lock_file *files, size_t count,
			    const struct interpreter *interpreter, const char *options);

/* -ENOENT: there is none, or a file that it depends on, or a directory that was built, is
 * not what it was. */
int lock_plan_load(struct store *store, const struct digest *key, struct lock_plan *ret);

/* Quietly does nothing where `inputs` are passing. */
int lock_plan_save(struct store *store, const struct digest *key,
		   const struct inputs *inputs, const struct lock_plan *plan);
