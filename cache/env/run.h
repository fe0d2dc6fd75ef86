/* Running a program for what it prints. Any thread. */
#pragma once

#include <stddef.h>

#include "cache/base/bytes.h"

/*
 * Runs argv[0] (found in PATH) with no input and its stderr thrown away; appends at most
 * `limit` bytes of its stdout. Returns its exit status (128 + signal), -ETIMEDOUT after
 * `seconds` (it is killed), -EFBIG for more output, or why it could not be started.
 */
int run_program(const char *const argv[], int seconds, size_t limit, struct buffer *out);
