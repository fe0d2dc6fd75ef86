#include "cache/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void make_one_line(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

__attribute__((format(printf, 2, 0))) static void
set_text(struct error *err, const char *format, va_list args)
{
	(void)vsnprintf(err->text, sizeof(err->text), format, args);
	make_one_line(err->text);
}

static void append(struct error *err, const char *text)
{
	size_t used = strlen(err->text);
	(void)snprintf(err->text + used, sizeof(err->text) - used, ": %s", text);
}

int error_set(struct error *reterr, int code, const char *format, ...)
{
	if (!reterr)
		return code;
	va_list args;
	va_start(args, format);
	set_text(reterr, format, args);
	va_end(args);
	return code;
}

int error_errno(struct error *reterr, int code, const char *format, ...)
{
	if (!reterr)
		return code;
	va_list args;
	va_start(args, format);
	set_text(reterr, format, args);
	va_end(args);
	append(reterr, strerror(-code));
	return code;
}

int error_prefix(struct error *reterr, int code, const char *format, ...)
{
	if (!reterr)
		return code;
	struct error inner = *reterr;
	va_list args;
	va_start(args, format);
	set_text(reterr, format, args);
	va_end(args);
	append(reterr, error_text(&inner, code));
	return code;
}

const char *error_text(struct error *err, int code)
{
	if (!err->text[0])
		(void)snprintf(err->text, sizeof(err->text), "%s", strerror(-code));
	return err->text;
}
