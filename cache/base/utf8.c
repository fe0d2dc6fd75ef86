#include "cache/base/utf8.h"

int32_t utf8_next(const char **text, const char *end)
{
	const unsigned char *p = (const unsigned char *)*text;
	size_t left = (size_t)(end - *text);
	if (left == 0)
		return 0;
	static const int32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (size > left || (size == 2 && p[0] < 0xc0) || p[0] > 0xf4)
		return -1;
	int32_t code = size == 1 ? p[0] : p[0] & (0xff >> (size + 1));
	for (size_t i = 1; i < size; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		code = code << 6 | (p[i] & 0x3f);
	}
	*text += size;
	return code < smallest[size] || code > 0x10ffff ||
		       (code >= 0xd800 && code < 0xe000)
		   ? -1
		   : code;
}

bool utf8_is_valid(const char *text, size_t size)
{
	const char *end = text + size;
	while (text < end) {
		if (utf8_next(&text, end) < 0)
			return false;
	}
	return true;
}
