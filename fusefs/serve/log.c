#include "fusefs/serve/log.h"

#include "cache/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

void log_line(struct log *log, const char *format, ...)
{
	char text[1200];
	struct tm tm;
	time_t now = time(NULL);
	uint32_t line = atomic_fetch_add(&log->lines, 1);
	if (line > LOG_LINES_MOST)
		return;
	size_t size = gmtime_r(&now, &tm)
			  ? strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ ", &tm)
			  : 0;
	va_list args;
	va_start(args, format);
	int more = line == LOG_LINES_MOST
		       ? snprintf(text + size, sizeof(text) - size - 1,
				  "too many lines: no more will be written")
		       : vsnprintf(text + size, sizeof(text) - size - 1, format, args);
	va_end(args);
	if (more < 0)
		return;
	size += (size_t)more;
	if (size > sizeof(text) - 2)
		size = sizeof(text) - 2;
	text[size++] = '\n';
	ssize_t ignored = write(log->fd, text, size);
	(void)ignored;
}
