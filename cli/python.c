#include "cli/python.h"

#include "cache/base/file.h"
#include "cache/env/discover.h"
#include "cache/version/specifier.h"
#include "cli/environment_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int fits(const char *specifiers, const char *version)
{
	struct version parsed;
	bool is_one = version_parse(version, strlen(version), &parsed);
	return specifiers_match(specifiers, is_one ? &parsed : NULL, version);
}

int python_find(struct store *store, const char *wanted, const char *requires_python,
		struct interpreter **ret, struct error *reterr)
{
	cleanup_free char *here = NULL;
	cleanup_free char *project = NULL;
	int r = path_canonical(".", &here, reterr);
	if (r == 0)
		r = environment_project(&project);
	if (r < 0)
		return r;
	const struct discovery discovery = { .wanted = wanted,
					     .project = here,
					     .root = project,
					     .requires_python = requires_python,
					     .fits = fits };
	return discover_interpreter(store, &discovery, ret, reterr);
}
