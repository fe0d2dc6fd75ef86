#include "fusefs/serve/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_line(const struct log *log, const char *format, ...)
{
	char text[LOGFILE_LINE];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	logfile_line(log->state_path, log->fd, text);
}
