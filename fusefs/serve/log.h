/* The log of a mount: dated lines at the end of a file of bounded size. Any thread. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "fusefs/supervise/logfile.h"

struct log {
	int fd;                 /* borrowed */
	_Atomic(int64_t) said;  /* private: when log_seldom() wrote last */
	const char *state_path; /* borrowed: where the file is moved when it is large */
};

/* For what may come with each request: at most once in a minute, the rest is left out. */
__attribute__((format(printf, 2, 3))) void log_seldom(struct log *log, const char *format,
						      ...);
__attribute__((format(printf, 2, 3))) void log_line(const struct log *log,
						    const char *format, ...);
