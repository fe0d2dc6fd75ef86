/*
 * An environment that moves: what names its path is written anew, in a copy. Any thread.
 */
#pragma once

#include "cache/base/bytes.h"
#include "cache/base/digest.h"

struct relocation {
	const char *from, *to;     /* canonical paths of the environment */
	const char *site_packages; /* below them */
};

/*
 * A file in bin/: the activation scripts, and scripts whose first line names a program of
 * that bin/. 1: `out` has the new text; 0: nothing in it names the path.
 */
int relocate_script(const struct relocation *l, const char *name,
		    const struct buffer *text, struct buffer *out);

/* A file in bin/ that has other content now. */
struct relocated {
	char *name;
	struct sha256 sha256;
	uint64_t size;
};
/* RECORD with the rows of these files right again. As relocate_script(). */
int relocate_record(const struct buffer *text, const struct relocated *files,
		    size_t count, struct buffer *out);
