/*
 * A bar on stderr for what takes long: one line that is written over and over, on a
 * terminal only, and gone when it is done. One thread at a time.
 */
#pragma once

#include <stddef.h>

/* `what` is what has just been done. done == count: the line is removed. */
void progress_show(size_t done, size_t count, const char *what);
