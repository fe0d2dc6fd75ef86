#include "cache/source/check.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const check_algorithms[] = { "sha384", "sha512", NULL };

struct check {
	struct expected expected;
	uint64_t size;
	struct sha256_stream *sha256;
	struct sha512_stream *others[CHECK_ALGORITHMS]; /* NULL: nobody asks for it */
	char found[CHECK_ALGORITHMS][SHA512_HEX_SIZE];
};

bool check_knows(const char *algorithm)
{
	bool knows = strcmp(algorithm, "sha256") == 0;
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++)
		knows = knows || strcmp(algorithm, check_algorithms[i]) == 0;
	return knows;
}

static const char *hex_of(const struct wanted_bytes *bytes, const char *algorithm)
{
	for (size_t i = 0; i < bytes->other_count; i++) {
		if (strcmp(bytes->others[i].algorithm, algorithm) == 0)
			return bytes->others[i].hex;
	}
	return NULL;
}

static bool names(const struct expected *e, const char *algorithm)
{
	bool any = e->all && hex_of(e->all, algorithm);
	for (size_t i = 0; i < e->any_count; i++)
		any = any || hex_of(&e->any[i], algorithm);
	return any;
}

static bool has_known(const struct wanted_bytes *bytes)
{
	bool known = bytes->has_sha256;
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++)
		known = known || hex_of(bytes, check_algorithms[i]);
	return known;
}

/* The algorithm of a hash without which nothing could be checked; NULL: there is one that
 * is known, or there are none. */
static const char *unknown_one(const struct expected *e)
{
	const char *unknown = NULL;
	if (e->any_count == 0)
		return e->all && e->all->other_count > 0 && !has_known(e->all)
			   ? e->all->others[0].algorithm
			   : NULL;
	for (size_t i = 0; i < e->any_count; i++) {
		if (has_known(&e->any[i]))
			return NULL;
		if (e->any[i].other_count > 0)
			unknown = e->any[i].others[0].algorithm;
	}
	return unknown;
}

int check_new(const struct expected *expected, struct check **ret, struct error *reterr)
{
	CLEANUP(check_freep) struct check *c = calloc(1, sizeof(*c));
	const char *unknown = unknown_one(expected);
	if (unknown)
		return error_set(reterr, -EOPNOTSUPP,
				 "the lock has only a %s of it; lock again, with sha256",
				 unknown);
	if (!c)
		return -ENOMEM;
	c->expected = *expected;
	c->sha256 = sha256_stream_new();
	if (!c->sha256)
		return -ENOMEM;
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++) {
		if (!names(expected, check_algorithms[i]))
			continue;
		c->others[i] = sha512_stream_new(check_algorithms[i]);
		if (!c->others[i])
			return -ENOMEM;
	}
	*ret = steal_ptr(c);
	return 0;
}

void check_free(struct check *c)
{
	if (!c)
		return;
	sha256_stream_free(c->sha256);
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++)
		sha512_stream_free(c->others[i]);
	free(c);
}

void check_add(struct check *c, const void *bytes, size_t size)
{
	c->size += size;
	sha256_stream_add(c->sha256, bytes, size);
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++) {
		if (c->others[i])
			sha512_stream_add(c->others[i], bytes, size);
	}
}

void check_reset(struct check *c)
{
	c->size = 0;
	(void)sha256_stream_end(c->sha256);
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++) {
		if (c->others[i])
			sha512_stream_end(c->others[i], c->found[i]);
	}
}

uint64_t check_size(const struct check *c)
{
	return c->size;
}

int64_t check_wanted_size(const struct check *c)
{
	return c->expected.all ? c->expected.all->size : -1;
}

const char *check_found(const struct check *c, size_t i)
{
	return c->others[i] ? c->found[i] : NULL;
}

static int compare_sha256(const struct wanted_bytes *bytes, const struct sha256 *found,
			  struct error *reterr)
{
	char wanted[SHA256_HEX_SIZE];
	char hex[SHA256_HEX_SIZE];
	if (!bytes->has_sha256 || memcmp(&bytes->sha256, found, sizeof(*found)) == 0)
		return 0;
	sha256_format(&bytes->sha256, wanted);
	sha256_format(found, hex);
	return error_set(reterr, -EBADMSG, "its sha256 is %s, expected was %s", hex,
			 wanted);
}

/* A hash of each algorithm that is known; of others nothing can be said. */
static int compare(const struct check *c, const struct wanted_bytes *bytes,
		   const struct sha256 *found, struct error *reterr)
{
	int r = compare_sha256(bytes, found, reterr);
	for (size_t i = 0; r == 0 && i < bytes->other_count; i++) {
		const struct wanted_hash *hash = &bytes->others[i];
		for (size_t k = 0; r == 0 && k < CHECK_ALGORITHMS; k++) {
			if (strcmp(hash->algorithm, check_algorithms[k]) == 0 &&
			    strcmp(hash->hex, c->found[k]) != 0)
				r = error_set(reterr, -EBADMSG,
					      "its %s is %s, expected was %s",
					      hash->algorithm, c->found[k], hash->hex);
		}
	}
	return r;
}

static int compare_any(const struct check *c, const struct sha256 *found,
		       struct error *reterr)
{
	const struct expected *e = &c->expected;
	char hex[SHA256_HEX_SIZE];
	for (size_t i = 0; i < e->any_count; i++) {
		if (has_known(&e->any[i]) && compare(c, &e->any[i], found, NULL) == 0)
			return 0;
	}
	if (e->any_count == 0)
		return 0;
	/* In the words of the hashes that were asked for. */
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++) {
		if (hex_of(&e->any[0], check_algorithms[i]))
			return error_set(reterr, -EBADMSG,
					 "its %s is %s, which is none of those expected",
					 check_algorithms[i], c->found[i]);
	}
	sha256_format(found, hex);
	return error_set(reterr, -EBADMSG,
			 "its sha256 is %s, which is none of those expected", hex);
}

int check_end(struct check *c, struct sha256 *ret_sha256, struct error *reterr)
{
	int64_t size = check_wanted_size(c);
	uint64_t had = c->size;
	struct sha256 found = sha256_stream_end(c->sha256);
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++) {
		if (c->others[i])
			sha512_stream_end(c->others[i], c->found[i]);
	}
	c->size = 0;
	if (size >= 0 && had != (uint64_t)size)
		return error_set(reterr, -EBADMSG,
				 "it has %llu bytes, expected were %lld",
				 (unsigned long long)had, (long long)size);
	int r = c->expected.all ? compare(c, c->expected.all, &found, reterr) : 0;
	if (r == 0)
		r = compare_any(c, &found, reterr);
	if (r == 0)
		*ret_sha256 = found;
	return r;
}

int check_add_file(struct check *c, int fd, uint64_t offset, uint64_t size)
{
	enum { PART = 256 << 10 };
	cleanup_free uint8_t *bytes = malloc(PART);
	if (!bytes)
		return -ENOMEM;
	for (uint64_t at = 0; at < size;) {
		size_t part = size - at < PART ? (size_t)(size - at) : PART;
		int r = file_pread_all(fd, bytes, part, offset + at);
		if (r < 0)
			return r;
		check_add(c, bytes, part);
		at += part;
	}
	return 0;
}
