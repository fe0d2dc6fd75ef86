/*
 * What was fetched of a file so far, kept over the death of who fetched it: a folder
 * tmp/<key>.part, locked while somebody is at it, so that the next one goes on. One
 * thread at a time.
 */
#pragma once

#include "cache/base/cleanup.h"
#include "cache/base/digest.h"

struct store;
struct partial;

/* -EBUSY: another one, be it in this process, is at it. -EROFS: the store is read-only.
 */
int partial_open(struct store *store, const struct digest *key, struct partial **ret);
/* What is there stays, for a week at least. */
void partial_free(struct partial *partial);
DEFINE_CLEANUP(struct partial *, partial_free);
/* Removes what is there, and frees it. */
void partial_remove(struct partial *partial);

int partial_dirfd(const struct partial *partial);
const char *partial_path(const struct partial *partial); /* absolute */
