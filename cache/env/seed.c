#include "cache/env/seed.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_pip(const char *name)
{
	size_t size = strlen(name);
	return strncmp(name, "pip-", 4) == 0 && size > 8 &&
	       strcmp(name + size - 4, ".whl") == 0;
}

/* Some Pythons have two: the newest. */
static int find_newest(const char *folder, char **ret_name)
{
	cleanup_free char *newest = NULL;
	const struct dirent *entry;
	cleanup_dir DIR *dir = opendir(folder);
	while (dir && (entry = readdir(dir)) != NULL) {
		if (!is_pip(entry->d_name) ||
		    (newest && strverscmp(entry->d_name, newest) < 0))
			continue;
		free(newest);
		newest = strdup(entry->d_name);
		if (!newest)
			return -ENOMEM;
	}
	*ret_name = steal_ptr(newest);
	return *ret_name ? 0 : -ENOENT;
}

int seed_find_pip(const struct interpreter *p, char **ret_path, struct error *reterr)
{
	cleanup_free char *name = NULL;
	int r = *p->pip_wheels ? find_newest(p->pip_wheels, &name) : -ENOENT;
	if (r == -ENOENT)
		return error_set(
		    reterr, r,
		    "python '%s' brings no pip (ensurepip); install it (Debian: "
		    "python3-venv), or name a wheel of pip",
		    p->executable);
	if (r < 0)
		return r;
	*ret_path = path_join(p->pip_wheels, name);
	return *ret_path ? 0 : -ENOMEM;
}
