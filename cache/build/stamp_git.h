/* The commit that a directory is at, and its tags, by Git's own files. Private to
 * cache/build. */
#pragma once

#include <stdbool.h>

#include "cache/base/bytes.h"

/* Appends what changes when the commit does, or when a tag is made. Nothing: no
 * repository. */
int stamp_git(const char *folder, bool commit, bool tags, struct buffer *out);
