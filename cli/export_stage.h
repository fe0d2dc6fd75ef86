/*
 * A directory made aside and put in its place in one step: whoever looks sees the whole
 * or nothing. One thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/error.h"

struct export_stage {
	char *path;  /* canonical: where it will be */
	char *name;  /* its last component */
	char *aside; /* its name until then */
	int parent;  /* descriptor of the folder that holds both */
	int dir;     /* the directory aside, empty at first */
	int made;    /* how many directories above it were made */
};

#define EXPORT_STAGE_INIT ((struct export_stage){ .parent = -1, .dir = -1 })

/*
 * -ENOTEMPTY: there is something at `path`, and not `clear`; -EBUSY: it is mounted.
 * Removes what exports that were killed have left beside it.
 */
int export_stage_begin(const char *path, bool clear, struct export_stage *ret,
		       struct error *reterr);
int export_stage_commit(struct export_stage *stage, struct error *reterr);
/* Removes all that was made, unless it was put in its place. */
void export_stage_release(struct export_stage *stage);
