/*
 * Digests; the only door to xxhash and libcrypto. XXH3 finds damage and addresses content
 * in one's own cache; it does not resist an attacker, so what crosses a machine is named
 * by SHA-256. Any thread; a running digest belongs to one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cache/base/cleanup.h"

/* XXH3-128 in the canonical (big-endian) byte order of the xxHash specification. */
struct digest {
	uint8_t bytes[16];
};
#define DIGEST_HEX_SIZE 33 /* with the NUL */

struct sha256 {
	uint8_t bytes[32];
};
#define SHA256_HEX_SIZE 65 /* with the NUL */
#define SHA256_BASE64_SIZE                                           \
	44 /* URL-safe, without padding, with the NUL: RECORD's form \
	    */

struct digest digest_of(const void *bytes, size_t size);
uint64_t digest_sum64(const void *bytes, size_t size); /* XXH3-64 */

void digest_format(const struct digest *d, char ret_hex[DIGEST_HEX_SIZE]);
/* False unless `hex` is exactly 32 lower-case hex digits. */
bool digest_parse(const char *hex, struct digest *ret);

static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* A running XXH3-128. NULL only without memory. */
struct digest_stream;
struct digest_stream *digest_stream_new(void);
void digest_stream_free(struct digest_stream *s);
void digest_stream_reset(struct digest_stream *s);
void digest_stream_add(struct digest_stream *s, const void *bytes, size_t size);
struct digest digest_stream_end(const struct digest_stream *s);
DEFINE_CLEANUP(struct digest_stream *, digest_stream_free);

/* A running SHA-256. NULL only without memory. The end resets it, ready for the next. */
struct sha256_stream;
struct sha256_stream *sha256_stream_new(void);
void sha256_stream_free(struct sha256_stream *s);
void sha256_stream_add(struct sha256_stream *s, const void *bytes, size_t size);
struct sha256 sha256_stream_end(struct sha256_stream *s);
DEFINE_CLEANUP(struct sha256_stream *, sha256_stream_free);

/* SHA-224 in hex, by which pip names what it caches. */
enum { SHA224_HEX_SIZE = 57 };
void sha224_hex_of(const void *bytes, size_t size, char ret_hex[SHA224_HEX_SIZE]);

/*
 * A running "sha384" or "sha512", which some lock files name beside or instead of
 * SHA-256. NULL: another algorithm, or no memory.
 */
struct sha512_stream;
struct sha512_stream *sha512_stream_new(const char *algorithm);
void sha512_stream_free(struct sha512_stream *s);
void sha512_stream_add(struct sha512_stream *s, const void *bytes, size_t size);
/* Its hex; resets it, ready for the next. */
enum { SHA512_HEX_SIZE = 129 };
void sha512_stream_end(struct sha512_stream *s, char ret_hex[SHA512_HEX_SIZE]);
DEFINE_CLEANUP(struct sha512_stream *, sha512_stream_free);

struct sha256 sha256_of(const void *bytes, size_t size);
void sha256_format(const struct sha256 *d, char ret_hex[SHA256_HEX_SIZE]);
bool sha256_parse(const char *hex, struct sha256 *ret);
void sha256_format_base64(const struct sha256 *d, char ret_text[SHA256_BASE64_SIZE]);
/* `text` holds `size` characters of URL-safe base64, with or without '=' padding. */
bool sha256_parse_base64(const char *text, size_t size, struct sha256 *ret);
