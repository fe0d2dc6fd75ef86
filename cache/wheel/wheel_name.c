#include "cache/wheel/wheel_name.h"

#include "cache/version/specifier.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_part(const char *text)
{
	for (const char *p = text; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("_.+!", *p))
			return false;
	}
	return *text != '\0';
}

int wheel_name_parse(const char *file_name, struct wheel_name *ret, struct error *reterr)
{
	size_t size = strlen(file_name);
	char *parts[6];
	size_t count = 0;
	if (size < 5 || strcmp(file_name + size - 4, ".whl") != 0)
		return error_set(reterr, -EBADMSG, "its name does not end with .whl");
	if (size >= sizeof(ret->text))
		return error_set(reterr, -EBADMSG, "its name is too long");
	memcpy(ret->text, file_name, size - 4);
	ret->text[size - 4] = '\0';
	char *rest = ret->text;
	for (char *part; count < 6 && (part = strsep(&rest, "-")) != NULL; count++)
		parts[count] = part;
	bool good = (count == 5 || count == 6) && !rest;
	for (size_t i = 0; good && i < count; i++)
		good = is_part(parts[i]);
	if (!good || (count == 6 && !isdigit((unsigned char)parts[2][0])))
		return error_set(
		    reterr, -EBADMSG,
		    "its name is not of the form name-version(-build)-python-abi-"
		    "platform.whl");
	ret->distribution = parts[0];
	ret->version = parts[1];
	ret->build = count == 6 ? parts[2] : "";
	ret->python = parts[count - 3];
	ret->abi = parts[count - 2];
	ret->platform = parts[count - 1];
	return 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_separator(char c)
{
	return c == '-' || c == '_' || c == '.';
}

bool wheel_name_is_local(const char *file_name)
{
	struct wheel_name name;
	return wheel_name_parse(file_name, &name, NULL) == 0 &&
	       (strcmp(name.build, WHEEL_BUILD_EDITABLE) == 0 ||
		strcmp(name.build, WHEEL_BUILD_LOCAL) == 0);
}

void normalise_name(const char *name, char *ret_text, size_t room)
{
	size_t used = 0;
	for (; *name && used + 1 < room; name++) {
		bool separator = is_separator(*name);
		if (separator && used > 0 && ret_text[used - 1] == '-')
			continue;
		ret_text[used++] = separator ? '-' : lower(*name);
	}
	ret_text[used] = '\0';
}

bool same_name(const char *a, const char *b)
{
	char x[256];
	char y[256];
	normalise_name(a, x, sizeof(x));
	normalise_name(b, y, sizeof(y));
	return strcmp(x, y) == 0;
}

bool same_version(const char *a, const char *b)
{
	struct version x;
	struct version y;
	/* What is no version at all is but a name. */
	if (!version_parse(a, strlen(a), &x) || !version_parse(b, strlen(b), &y))
		return same_name(a, b);
	return x.local[0] && y.local[0] ? version_compare(&x, &y) == 0
					: version_compare_public(&x, &y) == 0;
}

bool pin_takes(const char *pin, const char *version)
{
	struct specifier s = { .kind = SPECIFIER_EQUAL };
	struct version v;
	if (!version_parse(pin, strlen(pin), &s.version) ||
	    !version_parse(version, strlen(version), &v))
		return same_name(pin, version);
	return specifier_matches(&s, &v, version);
}

/* The value behind the colon, without the white space before it. */
static bool copy_value(const char *value, size_t size, char *ret_value, size_t room)
{
	while (size > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		size--;
	}
	if (size >= room)
		return false;
	memcpy(ret_value, value, size);
	ret_value[size] = '\0';
	return true;
}

bool header_value(const char *text, size_t size, const char *name, unsigned n,
		  char *ret_value, size_t room)
{
	size_t name_size = strlen(name);
	const char *end = text + size;
	for (const char *line = text; line < end;) {
		const char *line_end = memchr(line, '\n', (size_t)(end - line));
		if (!line_end)
			line_end = end;
		size_t line_size = (size_t)(line_end - line);
		if (line_size > 0 && line[line_size - 1] == '\r')
			line_size--;
		if (line_size == 0)
			return false;
		if (line_size > name_size && line[name_size] == ':' &&
		    strncasecmp(line, name, name_size) == 0 && n-- == 0)
			return copy_value(line + name_size + 1, line_size - name_size - 1,
					  ret_value, room);
		line = line_end + 1;
	}
	return false;
}
