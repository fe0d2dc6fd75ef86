#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *who, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

void make_printable(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

/* One write a line, so that lines of several processes stay whole. */
static void say(const char *who, const char *format, va_list args)
{
	char line[2048];
	int start = snprintf(line, sizeof(line), "%s: ", who);
	(void)vsnprintf(line + start, sizeof(line) - (size_t)start, format, args);
	make_printable(line);
	(void)fprintf(stderr, "%s\n", line);
}

void say_as(const char *who, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say(who, format, args);
	va_end(args);
}

int say_failed(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say("venvfs", format, args);
	va_end(args);
	return 1;
}

void say_note(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say("venvfs", format, args);
	va_end(args);
}

void say_lines(const char *what, const char *lines)
{
	while (*lines) {
		size_t size = strcspn(lines, "\n");
		say_note("%s: %.*s", what, (int)size, lines);
		lines += size + (lines[size] == '\n');
	}
}

int say_error(struct error *err, int code)
{
	return say_failed("%s", error_text(err, code));
}

bool is_styled(int fd)
{
	const char *none = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");
	return isatty(fd) == 1 && !(none && *none) &&
	       !(terminal && strcmp(terminal, "dumb") == 0);
}

void format_size(uint64_t bytes, char ret_text[24])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double size = (double)bytes;
	size_t unit = 0;
	while (size >= 1000 && unit + 1 < sizeof(units) / sizeof(*units)) {
		size /= 1000;
		unit++;
	}
	(void)snprintf(ret_text, 24, unit == 0 ? "%.0f %s" : "%.1f %s", size,
		       units[unit]);
}

void format_age(int64_t seconds, char ret_text[32])
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {
		{ 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" }
	};
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		int64_t count = seconds / units[i].seconds;
		if (count < 1)
			continue;
		(void)snprintf(ret_text, 32, "%lld %s%s ago", (long long)count,
			       units[i].name, count == 1 ? "" : "s");
		return;
	}
	(void)snprintf(ret_text, 32, "just now");
}

int print_json(const json_t *value)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	const char *cstr = json_print(value, true, &text) < 0 ? NULL : buffer_cstr(&text);
	if (!cstr)
		return say_failed("no memory for the JSON text");
	printf("%s\n", cstr);
	return 0;
}

int finish_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	/* A reader that has seen enough (head) is no failure worth a line. */
	if (errno != EPIPE)
		return say_failed("cannot write the output: %s", strerror(errno));
	return 1;
}
