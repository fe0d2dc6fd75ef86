#include "cli/python.h"

#include "cache/base/file.h"
#include "cache/env/discover.h"
#include "cache/toml/toml.h"
#include "cache/version/specifier.h"
#include "cli/environment_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_PYPROJECT = 1 << 20 };

static int fits(const char *specifiers, const char *version)
{
	struct version v;
	bool is_version = version_parse(version, strlen(version), &v);
	/* As uv has it, a release candidate of 3.14 is a Python 3.14. */
	v.pre = VERSION_FINAL;
	v.pre_number = 0;
	return specifiers_match(specifiers, is_version ? &v : NULL, version);
}

/* [project] requires-python; NULL: there is none, or no such file. */
static int read_requirement(const char *project, json_t **ret_pyproject,
			    const char **ret_requirement, struct error *reterr)
{
	cleanup_free char *path = path_join(project, "pyproject.toml");
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = path ? file_read_at(AT_FDCWD, path, LARGEST_PYPROJECT, &text) : -ENOMEM;
	if (r < 0)
		return r == -ENOENT
			   ? 0
			   : error_errno(reterr, r, "cannot read '%s/pyproject.toml'",
					 project);
	r = toml_parse(text.data, text.size, ret_pyproject, reterr);
	if (r < 0)
		return error_prefix(reterr, r, "'%s' is no TOML", path);
	*ret_requirement =
	    json_get_text(json_object_get(*ret_pyproject, "project"), "requires-python");
	return 0;
}

int python_find(struct cache *cache, const char *wanted, bool for_project,
		struct interpreter **ret, struct error *reterr)
{
	cleanup_free char *here = NULL;
	cleanup_free char *project = NULL;
	cleanup_json json_t *pyproject = NULL;
	const char *requirement = NULL;
	int r = path_canonical(".", &here, reterr);
	if (r == 0)
		r = environment_project(&project);
	if (r == 0 && project && for_project)
		r = read_requirement(project, &pyproject, &requirement, reterr);
	if (r < 0)
		return r;
	const struct discovery discovery = { .wanted = wanted,
					     .project = here,
					     .root = project,
					     .requires_python = requirement,
					     .fits = fits };
	return discover_interpreter(cache_own(cache), &discovery, ret, reterr);
}
