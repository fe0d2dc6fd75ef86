/*
 * Names of members: what may be the path of a file on Linux and means the same to
 * everybody.
 */
#include "cache/base/utf8.h"
#include "cache/wheel/zip_private.h"

#include <errno.h>

enum { LONGEST_COMPONENT = 255, LONGEST_NAME = 3900, DEEPEST = 64 };

/* Unicode's general category C as far as it has fixed places: invisible in every listing.
 */
static bool is_unprintable(int32_t c)
{
	static const struct {
		int32_t first, last;
	} ranges[] = {
		{ 0x00, 0x1f },     { 0x7f, 0x9f },       { 0xad, 0xad },
		{ 0x600, 0x605 },   { 0x61c, 0x61c },     { 0x6dd, 0x6dd },
		{ 0x70f, 0x70f },   { 0x180e, 0x180e },   { 0x200b, 0x200f },
		{ 0x202a, 0x202e }, { 0x2060, 0x206f },   { 0xe000, 0xf8ff },
		{ 0xfdd0, 0xfdef }, { 0xfeff, 0xfeff },   { 0xfff0, 0xfffb },
		{ 0xfffe, 0xffff }, { 0xe0000, 0xe0fff }, { 0xf0000, 0x10ffff },
	};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

static int check_characters(const char *name, size_t size, bool utf8,
			    struct error *reterr)
{
	const char *end = name + size;
	for (const char *p = name; p < end;) {
		int32_t c = utf8_next(&p, end);
		if (c < 0)
			return error_set(reterr, -EBADMSG,
					 "a member's name is not UTF-8");
		if (is_unprintable(c) || c == '\\')
			return error_set(
			    reterr, -EBADMSG,
			    "member '%s' has a control character or backslash in its name",
			    name);
		if (c >= 0x80 && !utf8)
			return error_set(reterr, -EBADMSG,
					 "the name of member '%s' is not marked as UTF-8",
					 name);
	}
	return 0;
}

static bool component_is_bad(const char *component, size_t size)
{
	return size == 0 || size > LONGEST_COMPONENT ||
	       (size == 1 && component[0] == '.') ||
	       (size == 2 && component[0] == '.' && component[1] == '.');
}

int zip_check_name(const char *name, size_t size, bool utf8, struct error *reterr)
{
	if (size == 0 || memchr(name, '\0', size))
		return error_set(reterr, -EBADMSG,
				 "a member's name is empty or has a NUL byte");
	int r = check_characters(name, size, utf8, reterr);
	if (r < 0)
		return r;
	bool has_drive = size > 1 && name[1] == ':';
	unsigned depth = 0;
	for (const char *p = name; *p;) {
		size_t part = strcspn(p, "/");
		if (component_is_bad(p, part) || has_drive || ++depth > DEEPEST ||
		    size > LONGEST_NAME)
			return error_set(
			    reterr, -EBADMSG,
			    "the name of member '%s' is no plain relative path", name);
		p += part + (p[part] == '/');
	}
	return 0;
}
