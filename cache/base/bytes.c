#include "cache/base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool bytes_are_zero(const void *bytes, size_t size)
{
	const char *p = bytes;
	return size == 0 || (*p == 0 && memcmp(p, p + 1, size - 1) == 0);
}

void hex_encode(const void *bytes, size_t size, char *ret_hex)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = bytes;
	for (size_t i = 0; i < size; i++) {
		ret_hex[2 * i] = digits[in[i] >> 4];
		ret_hex[2 * i + 1] = digits[in[i] & 15];
	}
	ret_hex[2 * size] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool hex_decode(const char *hex, size_t size, void *ret_bytes)
{
	uint8_t *out = ret_bytes;
	for (size_t i = 0; i < size; i++) {
		int high = hex_value(hex[2 * i]);
		int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool take_number(const char **p, uint32_t *ret)
{
	uint64_t value = 0;
	const char *at = *p;
	for (; *at >= '0' && *at <= '9' && value <= UINT32_MAX; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	if (at == *p || value > UINT32_MAX)
		return false;
	*p = at;
	*ret = (uint32_t)value;
	return true;
}

void buffer_release(struct buffer *b)
{
	free(b->data);
	*b = BUFFER_INIT;
}

int buffer_reserve(struct buffer *b, size_t more)
{
	if (more <= b->room - b->size)
		return 0;
	if (more > SIZE_MAX / 2 - b->size)
		return -ENOMEM;
	size_t room = b->room ? b->room : 64;
	while (room < b->size + more)
		room *= 2;
	uint8_t *data = realloc(b->data, room);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->room = room;
	return 0;
}

int buffer_append(struct buffer *b, const void *bytes, size_t size)
{
	int r = buffer_reserve(b, size);
	if (r < 0 || size == 0)
		return r;
	memcpy(b->data + b->size, bytes, size);
	b->size += size;
	return 0;
}

int buffer_append_zeros(struct buffer *b, size_t size)
{
	int r = buffer_reserve(b, size);
	if (r < 0 || size == 0)
		return r;
	memset(b->data + b->size, 0, size);
	b->size += size;
	return 0;
}

int buffer_append_text(struct buffer *b, const char *text)
{
	return buffer_append(b, text, strlen(text));
}

int buffer_printf(struct buffer *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	cleanup_free char *text = NULL;
	int size = vasprintf(&text, format, args);
	va_end(args);
	if (size < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return buffer_append(b, text, (size_t)size);
}

const char *buffer_cstr(struct buffer *b)
{
	if (buffer_reserve(b, 1) < 0)
		return NULL;
	b->data[b->size] = '\0';
	return (const char *)b->data;
}

void *buffer_steal(struct buffer *b)
{
	void *data = b->data;
	*b = BUFFER_INIT;
	return data;
}
