#include "cli/folders.h"

#include "cli/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int folders_add(struct cache *cache, const char *const *paths, size_t count, bool verbose,
		struct folder_args *ret)
{
	ret->added = calloc(count + 1, sizeof(*ret->added));
	if (!ret->added)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < count; i++) {
		struct error err = ERROR_INIT;
		int r =
		    folder_add(cache_own(cache), paths[i], &ret->added[ret->count], &err);
		if (r < 0)
			return say_error(&err, r);
		if (verbose)
			say_note("%s: %s", paths[i],
				 ret->added[ret->count].was_known ? "cached" : "added");
		ret->count++;
	}
	return 0;
}

void folder_args_release(struct folder_args *args)
{
	free(args->added);
	*args = (struct folder_args){ .added = NULL };
}
