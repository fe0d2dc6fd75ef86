#include "cli/python.h"

#include "cache/base/file.h"
#include "cache/env/discover.h"
#include "cache/source/uv_files.h"
#include "cli/environment_dir.h"

#include <stdlib.h>
#include <string.h>

int python_find(struct store *store, const char *wanted, struct interpreter **ret,
		struct error *reterr)
{
	cleanup_free char *here = NULL;
	cleanup_free char *project = NULL;
	cleanup_free char *required = NULL;
	int r = path_canonical(".", &here, reterr);
	if (r == 0)
		r = environment_project(&project);
	if (r == 0 && project)
		r = environment_requires(store, project, &required, reterr);
	if (r < 0)
		return r;
	CLEANUP(uv_settings_release) struct uv_settings uv = { .indexes = NULL };
	/* Of a path nothing is preferred. */
	if (!wanted || !strchr(wanted, '/'))
		r = uv_files_read(here, &uv, reterr);
	if (r < 0)
		return r;
	const struct discovery discovery = { .wanted = wanted,
					     .project = here,
					     .root = project,
					     .requires_python = required,
					     .preference = uv.python_preference };
	return discover_interpreter(store, &discovery, ret, reterr);
}
