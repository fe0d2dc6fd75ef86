/* Private to cache/env/lock: requirements that name a file, a folder or a repository. */
#pragma once

#include "cache/env/lock/requirement_lines.h"

/* "./x", "git+https://...", "x-1.0-py3-none-any.whl": no name, or none that counts. */
bool requirement_is_place(const char *text);

/* The line's hashes become those of which any will do. */
int requirement_copy_hashes(const struct reading *r, const struct requirement_line *line,
			    struct wanted_dist *dist);

/*
 * `place`: a path or URL with extras and fragment; `name`: NULL when nobody said it.
 * Paths start from the directory that commands are given in.
 */
int requirement_add_place(struct reading *r, const struct requirement_line *line,
			  const char *name, const char *place);
