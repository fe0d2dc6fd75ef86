#include "cache/base/digest.h"

#include "cache/base/bytes.h"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdlib.h>

/* Inlined, so that the hot path pays no call through the dynamic linker. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wswitch-enum"
#pragma GCC diagnostic ignored "-Wconversion"
#define XXH_INLINE_ALL
#include <xxhash.h>
#pragma GCC diagnostic pop

static struct digest from_xxh128(XXH128_hash_t hash)
{
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, hash);
	struct digest d;
	memcpy(d.bytes, canonical.digest, sizeof(d.bytes));
	return d;
}

struct digest digest_of(const void *bytes, size_t size)
{
	return from_xxh128(XXH3_128bits(bytes, size));
}

uint64_t digest_sum64(const void *bytes, size_t size)
{
	return XXH3_64bits(bytes, size);
}

void digest_format(const struct digest *d, char ret_hex[DIGEST_HEX_SIZE])
{
	hex_encode(d->bytes, sizeof(d->bytes), ret_hex);
}

bool digest_parse(const char *hex, struct digest *ret)
{
	struct digest d;
	if (!hex_decode(hex, sizeof(d.bytes), d.bytes) ||
	    hex[2 * sizeof(d.bytes)] != '\0')
		return false;
	*ret = d;
	return true;
}

struct digest_stream {
	XXH3_state_t *state;
};

struct digest_stream *digest_stream_new(void)
{
	struct digest_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->state = XXH3_createState();
	if (!s->state) {
		free(s);
		return NULL;
	}
	digest_stream_reset(s);
	return s;
}

void digest_stream_free(struct digest_stream *s)
{
	if (!s)
		return;
	(void)XXH3_freeState(s->state);
	free(s);
}

void digest_stream_reset(struct digest_stream *s)
{
	(void)XXH3_128bits_reset(s->state);
}

void digest_stream_add(struct digest_stream *s, const void *bytes, size_t size)
{
	(void)XXH3_128bits_update(s->state, bytes, size);
}

struct digest digest_stream_end(const struct digest_stream *s)
{
	return from_xxh128(XXH3_128bits_digest(s->state));
}

/*
 * The plain SHA256_ functions and not EVP: they cannot fail, and they are all of
 * libcrypto that is linked (ARCHITECTURE.md, Measurements: the whole of it costs each
 * start of a program 1.5 ms, of the 20 that a mount may take).
 */
struct sha256_stream {
	SHA256_CTX context;
};

struct sha256_stream *sha256_stream_new(void)
{
	struct sha256_stream *s = calloc(1, sizeof(*s));
	if (s)
		(void)SHA256_Init(&s->context);
	return s;
}

void sha256_stream_free(struct sha256_stream *s)
{
	free(s);
}

void sha256_stream_add(struct sha256_stream *s, const void *bytes, size_t size)
{
	(void)SHA256_Update(&s->context, bytes, size);
}

struct sha256 sha256_stream_end(struct sha256_stream *s)
{
	struct sha256 d;
	(void)SHA256_Final(d.bytes, &s->context);
	(void)SHA256_Init(&s->context);
	return d;
}

struct sha256 sha256_of(const void *bytes, size_t size)
{
	struct sha256_stream s;
	(void)SHA256_Init(&s.context);
	sha256_stream_add(&s, bytes, size);
	return sha256_stream_end(&s);
}

void sha224_hex_of(const void *bytes, size_t size, char ret_hex[SHA224_HEX_SIZE])
{
	SHA256_CTX context;
	uint8_t digest[SHA224_DIGEST_LENGTH];
	(void)SHA224_Init(&context);
	(void)SHA224_Update(&context, bytes, size);
	(void)SHA224_Final(digest, &context);
	hex_encode(digest, sizeof(digest), ret_hex);
}

struct sha512_stream {
	SHA512_CTX context;
	bool is_384;
};

static void begin_512(struct sha512_stream *s)
{
	if (s->is_384)
		(void)SHA384_Init(&s->context);
	else
		(void)SHA512_Init(&s->context);
}

struct sha512_stream *sha512_stream_new(const char *algorithm)
{
	bool is_384 = strcmp(algorithm, "sha384") == 0;
	if (!is_384 && strcmp(algorithm, "sha512") != 0)
		return NULL;
	struct sha512_stream *s = malloc(sizeof(*s));
	if (s) {
		s->is_384 = is_384;
		begin_512(s);
	}
	return s;
}

void sha512_stream_free(struct sha512_stream *s)
{
	free(s);
}

void sha512_stream_add(struct sha512_stream *s, const void *bytes, size_t size)
{
	/* Init sets the length of the result; all else is the same for both. */
	(void)SHA512_Update(&s->context, bytes, size);
}

void sha512_stream_end(struct sha512_stream *s, char ret_hex[SHA512_HEX_SIZE])
{
	uint8_t bytes[SHA512_DIGEST_LENGTH];
	(void)SHA512_Final(bytes, &s->context);
	hex_encode(bytes, s->is_384 ? SHA384_DIGEST_LENGTH : SHA512_DIGEST_LENGTH,
		   ret_hex);
	begin_512(s);
}

void sha256_format(const struct sha256 *d, char ret_hex[SHA256_HEX_SIZE])
{
	hex_encode(d->bytes, sizeof(d->bytes), ret_hex);
}

bool sha256_parse(const char *hex, struct sha256 *ret)
{
	struct sha256 d;
	if (!hex_decode(hex, sizeof(d.bytes), d.bytes) ||
	    hex[2 * sizeof(d.bytes)] != '\0')
		return false;
	*ret = d;
	return true;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 32 bytes are 256 bits, 43 digits of 6 bits; the last digit carries 4 and two zeros. */
void sha256_format_base64(const struct sha256 *d, char ret_text[SHA256_BASE64_SIZE])
{
	for (unsigned i = 0; i < 43; i++) {
		unsigned bit = i * 6;
		unsigned pair = (unsigned)d->bytes[bit / 8] << 8;
		if (bit / 8 + 1 < sizeof(d->bytes))
			pair |= d->bytes[bit / 8 + 1];
		ret_text[i] = base64_digits[pair >> (10 - bit % 8) & 63];
	}
	ret_text[43] = '\0';
}

bool sha256_parse_base64(const char *text, size_t size, struct sha256 *ret)
{
	while (size > 0 && text[size - 1] == '=')
		size--;
	if (size != 43)
		return false;
	struct sha256 d = { .bytes = { 0 } };
	for (unsigned i = 0; i < 43; i++) {
		const char *digit = text[i] ? strchr(base64_digits, text[i]) : NULL;
		if (!digit)
			return false;
		unsigned value = (unsigned)(digit - base64_digits);
		unsigned bit = i * 6;
		unsigned pair = value << (10 - bit % 8);
		d.bytes[bit / 8] |= (uint8_t)(pair >> 8);
		if (bit / 8 + 1 < sizeof(d.bytes))
			d.bytes[bit / 8 + 1] |= (uint8_t)pair;
		else if (pair & 0xff)
			return false;
	}
	*ret = d;
	return true;
}
