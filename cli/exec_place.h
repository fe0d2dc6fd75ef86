/*
 * Where a throw-away environment is: a mount point in the folder for temporary files and
 * a state directory, both removed when its server ends. One thread.
 */
#pragma once

#include "cache/base/error.h"
#include "fusefs/serve/state.h"

struct exec_place {
	char *path; /* canonical: the mount point, a directory made for it */
	struct state *state;
	int lock;
};

#define EXEC_PLACE_INIT ((struct exec_place){ .lock = -1 })

/* Also removes those that were left by what was killed together with its server. */
int exec_place_make(struct exec_place *ret, struct error *reterr);
/* Nothing is mounted there: removes both. */
void exec_place_remove(struct exec_place *place);
void exec_place_release(struct exec_place *place);
