/* Wheel files of the command line brought into the cache, with progress and messages. */
#pragma once

#include <stdbool.h>

#include "cache/wheel/add.h"

struct wheel_args {
	struct wheel_job *jobs;
	size_t count;
};

/*
 * Adds the files; says one line for each that failed. `ret` holds all jobs in the order
 * given. Returns an exit status. `verbose`: a line for each wheel, saying where it came
 * from.
 */
int wheels_add(struct cache *cache, char **paths, size_t count, bool lenient,
	       bool verbose, struct wheel_args *ret);
void wheel_args_release(struct wheel_args *args);
/* An operand that is to be a wheel file, by its ending. */
bool is_wheel_name(const char *text);
