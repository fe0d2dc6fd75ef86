/* Running a program for what it says. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/bytes.h"

/* Told of each part of what it says. */
typedef void run_heard(void *context, const void *bytes, size_t size);

struct run {
	const char *const *argv; /* argv[0] is found in PATH */
	int seconds;             /* until it is killed; 0: never */
	size_t limit;            /* of bytes that it may say */
	bool errors;   /* its stderr is taken, not its stdout; the other is thrown away */
	bool both;     /* both are taken, as they come */
	bool tail;     /* beyond the limit the beginning is dropped, instead of -EFBIG */
	int passed_fd; /* a descriptor that it inherits; 0: none */
	int stop_fd; /* when it can be read, the program and what it started are ended; 0:
			none. It gets a session of its own, and no signal is blocked
			in it */
	const char *folder;   /* where it runs; NULL: here */
	const char *variable; /* one more for its environment: "NAME=value"; or NULL */
	run_heard *heard;     /* or NULL */
	void *context;
};

/*
 * Runs it with no input and appends what it says to `out`. Returns its exit status
 * (128 + signal), -ETIMEDOUT when it was killed, -EFBIG when it said too much, -EINTR
 * when it was stopped, or why it could not be started (-ENOENT: it is not in PATH).
 */
int run_program(const struct run *run, struct buffer *out);
