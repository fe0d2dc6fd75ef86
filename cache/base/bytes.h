/*
 * Bytes: little-endian numbers at any alignment, sizes that cannot overflow unnoticed,
 * hex, and a growing buffer. Any thread; a buffer belongs to one at a time.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cache/base/cleanup.h"

static inline uint16_t load_le16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t load_le32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t load_le64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void store_le16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void store_le32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void store_le64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* Is [offset, offset + size) inside [0, limit)? Cannot overflow. */
static inline bool range_inside(uint64_t offset, uint64_t size, uint64_t limit)
{
	return offset <= limit && size <= limit - offset;
}

/* Nothing but zeros, which a hole in a file can stand for. */
bool bytes_are_zero(const void *bytes, size_t size);

/* Lower-case hex of `size` bytes and a NUL into ret_hex[2 * size + 1]. */
void hex_encode(const void *bytes, size_t size, char *ret_hex);

/* False unless `hex` begins with exactly 2 * size lower-case hex digits. */
bool hex_decode(const char *hex, size_t size, void *ret_bytes);

/*
 * Takes a decimal number of one digit at least from the start of *p and moves *p behind
 * it; false, and *p stays, when there is none or it does not fit.
 */
bool take_number(const char **p, uint32_t *ret);

/* Growing bytes; all zero is empty. Sizes in bytes. */
struct buffer {
	uint8_t *data;
	size_t size;
	size_t room;
};

#define BUFFER_INIT ((struct buffer){ .data = NULL })

void buffer_release(struct buffer *b);
#define cleanup_buffer CLEANUP(buffer_release)

/* All return -ENOMEM and leave the buffer as it was when there is no memory. */
int buffer_reserve(struct buffer *b, size_t more);
int buffer_append(struct buffer *b, const void *bytes, size_t size);
int buffer_append_zeros(struct buffer *b, size_t size);
int buffer_append_text(struct buffer *b, const char *text);
__attribute__((format(printf, 2, 3))) int buffer_printf(struct buffer *b,
							const char *format, ...);

/* The bytes with a NUL behind them, which is not counted in size; NULL without memory. */
const char *buffer_cstr(struct buffer *b);

/* Hands the memory over (the caller frees it) and leaves the buffer empty. */
void *buffer_steal(struct buffer *b);
