/* What the supervisor of one mount has in hand. Private to this folder. One thread. */
#pragma once

#include "fusefs/supervise/shared.h"
#include "fusefs/supervise/watch.h"
#include "fusefs/supervise/worker.h"

struct supervisor {
	const char *venvfs, *state_path, *socket_path;
	struct shared *shared;
	struct deaths deaths;
	struct watch watch;
	pid_t worker;
	int listener, signals;
	int result; /* exit status, once `done` */
	bool done;
};

/* ms of CLOCK_MONOTONIC. */
int64_t milliseconds(void);
/* A line in the log. */
__attribute__((format(printf, 2, 3))) void say(const struct supervisor *s,
					       const char *format, ...);
