/*
 * A bar on stderr for what takes long: one line that is written over and over, on a
 * terminal only, and gone when it is done. One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: nothing was shown yet. */
struct progress {
	uint64_t when; /* it was, in ms */
	bool visible;
};

/*
 * `what` is what has just been done. Ten times a second at most; done == count: the line
 * is removed.
 */
void progress_show(struct progress *progress, size_t done, size_t count,
		   const char *what);
/* As it, with a bar that is filled by `part` of `whole` (0: not at all). */
struct progress_of {
	size_t done, count;
	uint64_t part, whole;
	const char *what;
};
void progress_show_part(struct progress *progress, const struct progress_of *of);
/* Removes the line: another one is to be said, or it ends before all is done. */
void progress_hide(struct progress *progress);
