/* Folders of the command line brought into the cache, with messages. */
#pragma once

#include <stdbool.h>

#include "cache/folder/folder.h"
#include "cache/store/cache.h"

struct folder_args {
	struct folder_added *added; /* in the order given */
	size_t count;
};

/*
 * Adds the folders one after another; the first that fails ends it with a line. Returns
 * an exit status. `verbose`: a line for each, saying whether it had to be read.
 */
int folders_add(struct cache *cache, const char *const *paths, size_t count, bool verbose,
		struct folder_args *ret);
void folder_args_release(struct folder_args *args);
