/* The log of a mount: dated lines at the end of a file. Any thread. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* All zero logs to descriptor 0: set fd. */
struct log {
	int fd; /* borrowed; each line is one write(2) */
	_Atomic(uint32_t) lines;
};

/* After LOG_LINES_MOST lines a last one says that no more follow. */
enum { LOG_LINES_MOST = 10000 };

__attribute__((format(printf, 2, 3))) void log_line(struct log *log, const char *format,
						    ...);
