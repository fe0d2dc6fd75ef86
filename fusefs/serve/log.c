#include "fusefs/serve/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

__attribute__((format(printf, 2, 0))) static void
write_line(const struct log *log, const char *format, va_list args)
{
	char text[LOGFILE_LINE];
	(void)vsnprintf(text, sizeof(text), format, args);
	logfile_line(log->state_path, log->fd, text);
}

void log_seldom(struct log *log, const char *format, ...)
{
	enum { SECONDS = 60 };
	struct timespec now;
	va_list args;
	int64_t said = atomic_load(&log->said);
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	/* 0: never yet. */
	if ((said != 0 && now.tv_sec - said < SECONDS) ||
	    !atomic_compare_exchange_strong(&log->said, &said, (int64_t)now.tv_sec + 1))
		return;
	va_start(args, format);
	write_line(log, format, args);
	va_end(args);
}

void log_line(const struct log *log, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	write_line(log, format, args);
	va_end(args);
}
