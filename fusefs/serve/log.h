/* The log of a mount: dated lines at the end of a file of bounded size. Any thread. */
#pragma once

#include "fusefs/supervise/logfile.h"

struct log {
	int fd;                 /* borrowed */
	const char *state_path; /* borrowed: where the file is moved when it is large */
};

__attribute__((format(printf, 2, 3))) void log_line(const struct log *log,
						    const char *format, ...);
