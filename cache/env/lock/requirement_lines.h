/* Private to cache/env/lock: the lines of requirements files, as pip reads them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/env/lock/fill.h"
#include "cache/env/lock/selection.h"

/* A requirement, or a constraint, as it stands in a file. */
struct requirement_line {
	char *text; /* "requests==2.0 ; marker"; of -e: what stands behind it */
	char *file; /* where it stands */
	unsigned line;
	bool editable, constraint;
	struct wanted_bytes *hashes;
	size_t hash_count;
};

struct requirement_lines {
	struct requirement_line *items;
	size_t count;
	struct name_list no_binary, only_binary; /* names, or ":all:" */
};

/* All lines of the file and of those that it includes; indexes go into r->wanted. */
int requirement_lines_read(struct reading *r, struct requirement_lines *ret);
void requirement_lines_release(struct requirement_lines *lines);
