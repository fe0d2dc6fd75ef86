/* Running a program for what it says. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/bytes.h"

struct run {
	const char *const *argv; /* argv[0] is found in PATH */
	int seconds;             /* until it is killed */
	size_t limit;            /* of bytes that it may say */
	bool errors;   /* its stderr is taken, not its stdout; the other is thrown away */
	int passed_fd; /* a descriptor that it inherits; 0: none */
	const char *variable; /* one more for its environment: "NAME=value"; or NULL */
};

/*
 * Runs it with no input and appends what it says to `out`. Returns its exit status
 * (128 + signal), -ETIMEDOUT when it was killed, -EFBIG when it said too much, or why it
 * could not be started (-ENOENT: it is not in PATH).
 */
int run_program(const struct run *run, struct buffer *out);
