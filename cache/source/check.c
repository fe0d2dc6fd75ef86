#include "cache/source/check.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OTHERS_MOST = 8 };

struct check {
	const struct wanted_bytes *wanted;
	uint64_t size;
	struct sha256_stream *sha256;
	struct sha512_stream *others[OTHERS_MOST]; /* as in `wanted`; NULL: not known */
};

int check_new(const struct wanted_bytes *wanted, struct check **ret, struct error *reterr)
{
	CLEANUP(check_freep) struct check *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->wanted = wanted;
	c->sha256 = sha256_stream_new();
	if (!c->sha256)
		return -ENOMEM;
	size_t known = wanted && wanted->has_sha256 ? 1 : 0;
	size_t count = wanted ? wanted->other_count : 0;
	for (size_t i = 0; i < count && i < OTHERS_MOST; i++) {
		c->others[i] = sha512_stream_new(wanted->others[i].algorithm);
		known += c->others[i] != NULL;
	}
	if (count > 0 && known == 0)
		return error_set(reterr, -EOPNOTSUPP,
				 "the lock has only a %s of it; lock again, with sha256",
				 wanted->others[0].algorithm);
	*ret = steal_ptr(c);
	return 0;
}

void check_free(struct check *c)
{
	if (!c)
		return;
	sha256_stream_free(c->sha256);
	for (size_t i = 0; i < OTHERS_MOST; i++)
		sha512_stream_free(c->others[i]);
	free(c);
}

void check_add(struct check *c, const void *bytes, size_t size)
{
	c->size += size;
	sha256_stream_add(c->sha256, bytes, size);
	for (size_t i = 0; i < OTHERS_MOST; i++) {
		if (c->others[i])
			sha512_stream_add(c->others[i], bytes, size);
	}
}

void check_reset(struct check *c)
{
	char hex[SHA512_HEX_SIZE];
	c->size = 0;
	(void)sha256_stream_end(c->sha256);
	for (size_t i = 0; i < OTHERS_MOST; i++) {
		if (c->others[i])
			sha512_stream_end(c->others[i], hex);
	}
}

uint64_t check_size(const struct check *c)
{
	return c->size;
}

int64_t check_wanted_size(const struct check *c)
{
	return c->wanted ? c->wanted->size : -1;
}

static int compare_sha256(const struct check *c, const struct sha256 *found,
			  struct error *reterr)
{
	char wanted[SHA256_HEX_SIZE];
	char hex[SHA256_HEX_SIZE];
	if (!c->wanted || !c->wanted->has_sha256 ||
	    memcmp(&c->wanted->sha256, found, sizeof(*found)) == 0)
		return 0;
	sha256_format(&c->wanted->sha256, wanted);
	sha256_format(found, hex);
	return error_set(reterr, -EBADMSG, "its sha256 is %s, expected was %s", hex,
			 wanted);
}

static int compare_other(const struct check *c, size_t i, const char *hex,
			 struct error *reterr)
{
	const struct wanted_hash *wanted = &c->wanted->others[i];
	return strcmp(hex, wanted->hex) == 0
		   ? 0
		   : error_set(reterr, -EBADMSG, "its %s is %s, expected was %s",
			       wanted->algorithm, hex, wanted->hex);
}

int check_end(struct check *c, struct sha256 *ret_sha256, struct error *reterr)
{
	char hex[SHA512_HEX_SIZE];
	int64_t size = check_wanted_size(c);
	struct sha256 found = sha256_stream_end(c->sha256);
	int r = 0;
	if (size >= 0 && c->size != (uint64_t)size)
		r = error_set(reterr, -EBADMSG, "it has %llu bytes, expected were %lld",
			      (unsigned long long)c->size, (long long)size);
	if (r == 0)
		r = compare_sha256(c, &found, reterr);
	for (size_t i = 0; i < OTHERS_MOST; i++) {
		if (!c->others[i])
			continue;
		sha512_stream_end(c->others[i], hex);
		if (r == 0)
			r = compare_other(c, i, hex, reterr);
	}
	c->size = 0;
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
