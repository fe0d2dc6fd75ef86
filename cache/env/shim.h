/*
 * pyenv's shims: scripts that run the Python that the working directory and variables
 * say, which takes a fifth of a second. Private to cache/env. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/bytes.h"

/* Appends what tells a file from itself changed and from every other. -ENOENT and so on.
 */
int file_describe(const char *path, struct buffer *out);

struct shim {
	struct buffer says; /* all that decides which Python it runs */
	char *versions;     /* where pyenv keeps these */
};

/*
 * -ENOENT: it is none of pyenv's, or something decides with it that is not known here, a
 * hook say.
 */
int shim_read(const char *path, struct shim *ret);
/* Is that one of pyenv's own? What another is found by is not among what was read. */
bool shim_has(const struct shim *shim, const char *executable);
void shim_release(struct shim *shim);
