/*
 * The log of a mount: "log" in its state directory, to which several processes append. It
 * is moved to "log.old" when it is large, so both together have a bound. Any thread; libc
 * only.
 */
#pragma once

#include <stddef.h>

enum { LOGFILE_MOST = 1 << 20, LOGFILE_LINE = 1200 };

/* A descriptor to append by; a negative errno. */
int logfile_open(const char *state_path);

/*
 * Appends "<time> <text>" as one line, at most LOGFILE_LINE bytes, by one write. Where
 * the log has been moved away, also by another process, descriptor `fd` becomes one of
 * the new.
 */
void logfile_line(const char *state_path, int fd, const char *text);
