/*
 * Are these the bytes that a lock means? A running check of size and hashes. One thread
 * at a time.
 */
#pragma once

#include "cache/base/error.h"
#include "cache/source/wanted.h"

/* All of it is borrowed. */
struct expected {
	const struct wanted_bytes *all; /* its size and each of its hashes; or NULL */
	const struct wanted_bytes *any; /* and one of these */
	size_t any_count;               /* 0: nothing more */
};

/* The algorithms that are known here beside sha256; ended by NULL. */
extern const char *const check_algorithms[];
enum { CHECK_ALGORITHMS = 2 };
/* One that is known, "sha256" included. */
bool check_knows(const char *algorithm);

struct check;

/*
 * `expected` is copied, not what it borrows. -EOPNOTSUPP: it names hashes, and none that
 * this program knows.
 */
int check_new(const struct expected *expected, struct check **ret, struct error *reterr);
void check_free(struct check *check);
DEFINE_CLEANUP(struct check *, check_free);

void check_add(struct check *check, const void *bytes, size_t size);
/* Begins anew. */
void check_reset(struct check *check);
uint64_t check_size(const struct check *check); /* of what was added */
/* The size that is wanted; -1: any. */
int64_t check_wanted_size(const struct check *check);

/* -EBADMSG with what differs. Then it begins anew. */
int check_end(struct check *check, struct sha256 *ret_sha256, struct error *reterr);
/* What the last end found of check_algorithms[i]; NULL: it was not asked for. */
const char *check_found(const struct check *check, size_t i);
/* Adds `size` bytes of fd from `offset` on. -ENODATA: it ends before. */
int check_add_file(struct check *check, int fd, uint64_t offset, uint64_t size);
