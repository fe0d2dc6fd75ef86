/* Where an environment is when nobody names its directory. One thread. */
#pragma once

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
