/*
 * Staging: everything is written below tmp/ first and renamed into place whole. A stage
 * is a directory that its owner keeps locked, so that what a killed process left behind
 * is known and removed by the next one that stages. Private to cache/store. One thread at
 * a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/base/cleanup.h"
#include "cache/base/digest.h"
#include "cache/base/error.h"

struct store;
struct stage;

int stage_new(struct store *store, struct stage **ret);
/* Removes what was not published. */
void stage_free(struct stage *stage);
DEFINE_CLEANUP(struct stage *, stage_free);

int stage_dirfd(const struct stage *stage);

/* Is what lies in tmp/ under that name, opened as fd, a download that may go on? */
bool partial_is_kept(int fd, const char *name);

/*
 * Moves the staged file `name`, of content or metadata digest `id`, to <kind>/ab/<rest of
 * id>. When that is there already, both are compared: equal is success, a file that does
 * not match its own id any more is replaced, and two contents of one id are refused
 * (-EEXIST).
 */
enum publish_kind { PUBLISH_OBJECT, PUBLISH_IMAGE };
int stage_publish(struct stage *stage, const char *name, enum publish_kind kind,
		  const struct digest *id, struct error *reterr);
