/* Where an environment is when nobody names its directory. One thread. */
#pragma once

#include "cache/base/error.h"

struct store;

/*
 * The nearest folder, from the working directory upward, that has a pyproject.toml;
 * NULL: there is none. The caller frees it.
 */
int environment_project(char **ret_folder);
/*
 * $UV_PROJECT_ENVIRONMENT, else .venv; relative to the project, or to the working
 * directory where there is none. The caller frees it; for the latter it is relative.
 */
int environment_dir(char **ret_dir);
/* The canonical path of `dir`, or where that is NULL, of environment_dir(). The caller
 * frees it. */
int environment_path(const char *dir, char **ret_path, struct error *reterr);
/*
 * What its pyproject.toml says of requires-python; NULL or "": nothing. The caller frees
 * it. `store` remembers it by the file's bytes. -EBADMSG: it is no TOML.
 */
int environment_requires(struct store *store, const char *project, char **ret_specifiers,
			 struct error *reterr);
