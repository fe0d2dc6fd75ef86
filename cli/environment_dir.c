#include "cli/environment_dir.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_project(const char *folder)
{
	cleanup_free char *file = path_join(folder, "pyproject.toml");
	return file && access(file, F_OK) == 0;
}

int environment_project(char **ret_folder)
{
	cleanup_free char *folder = getcwd(NULL, 0);
	if (!folder)
		return -errno;
	while (*folder && !has_project(folder))
		*strrchr(folder, '/') = '\0';
	*ret_folder = *folder ? steal_ptr(folder) : NULL;
	return 0;
}

int environment_dir(char **ret_dir)
{
	const char *named = getenv("UV_PROJECT_ENVIRONMENT");
	const char *name = named && *named ? named : ".venv";
	cleanup_free char *project = NULL;
	cleanup_free char *here = getcwd(NULL, 0);
	int r = environment_project(&project);
	if (r < 0 || !here)
		return r < 0 ? r : -ENOMEM;
	/* Short where it can be: it is what people are told. */
	bool plain = *name == '/' || !project || strcmp(project, here) == 0;
	*ret_dir = plain ? strdup(name) : path_join(project, name);
	return *ret_dir ? 0 : -ENOMEM;
}
