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
/* Removes the line: another one is to be said, or it ends before all is done. */
void progress_hide(struct progress *progress);
