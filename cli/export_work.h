/*
 * Directories that several threads fill, each taking one after the other. They are all
 * made before, by one thread, parents before children; so no thread waits for another,
 * and a file costs one lookup of one name. On a terminal a bar shows how many are
 * filled. One work at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"

struct export_dir {
	uint64_t id; /* the caller's */
	char *path;  /* relative; "." is the root */
};

struct export_work;

int export_work_new(const char *path, struct export_work **ret);
void export_work_free(struct export_work *work);
DEFINE_CLEANUP(struct export_work *, export_work_free);

/* Takes the path, also when it fails (NULL: there was no memory for it). */
int export_work_add(struct export_work *work, uint64_t id, char *take_path);
/* The i-th that was added, borrowed until the next is; false: there is none. */
bool export_work_get(const struct export_work *work, size_t i, struct export_dir *ret);

/* Any thread. `name` may be "": the directory itself. The first failure stands. */
void export_work_fail(struct export_work *work, const struct export_dir *dir,
		      const char *name, int code);
/* Any thread: has one failed? */
bool export_work_stopped(const struct export_work *work);
/* Any thread: is a signal pending that ends programs? The caller of run has them blocked.
 */
bool export_is_interrupted(void);

/*
 * Calls `fill` for each directory, by several threads; scratch has `scratch_size` bytes
 * and is one thread's. What fails is told by export_work_fail(). Returns the first
 * failure, with a text; -EINTR: interrupted.
 */
typedef void export_fill(void *context, const struct export_dir *dir, void *scratch);
int export_work_run(struct export_work *work, size_t scratch_size, export_fill *fill,
		    void *context, struct error *reterr);
