/* A tree of images written out as plain files, by several threads. */
#pragma once

#include <stdint.h>

#include "cache/base/error.h"

struct tree;

/* How a large file gets the bytes that the cache has as an object of its own. */
enum link_mode {
	LINK_CLONE,    /* shared with it (FICLONE) where the disk can, else copied */
	LINK_HARDLINK, /* the object under another name, unless it is a program
			*/
	LINK_COPY
};

struct export_request {
	struct tree *tree;
	int dir;          /* an empty directory */
	const char *path; /* what messages call it */
	enum link_mode mode;
};

/* Of large files. */
struct export_counts {
	uint64_t cloned, linked, copied;
};

/*
 * Each byte is checked against the sums of its image. -EINTR: a signal that the caller
 * blocked is pending. What was written stays; it is the caller's to remove.
 */
int export_tree(const struct export_request *request, struct export_counts *ret,
		struct error *reterr);
