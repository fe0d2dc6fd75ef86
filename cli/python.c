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

static int fits(const char *specifiers, const char *version)
{
	struct version parsed;
	bool is_one = version_parse(version, strlen(version), &parsed);
	/* As uv has it, a release candidate of 3.14 is a Python 3.14. */
	if (is_one) {
		parsed.pre = VERSION_FINAL;
		parsed.pre_number = 0;
	}
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

int python_requirement(char **ret, struct error *reterr)
{
	enum { LARGEST = 1 << 20 };
	cleanup_free char *project = NULL;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *pyproject = NULL;
	*ret = NULL;
	int r = environment_project(&project);
	if (r < 0 || !project)
		return r;
	cleanup_free char *path = path_join(project, "pyproject.toml");
	r = path ? file_read_at(AT_FDCWD, path, LARGEST, &text) : -ENOMEM;
	if (r < 0)
		return error_errno(reterr, r, "cannot read '%s/pyproject.toml'", project);
	r = toml_parse(text.data, text.size, &pyproject, reterr);
	if (r < 0)
		return error_prefix(reterr, r, "'%s' is no TOML", path);
	const char *requires =
	    json_get_text(json_object_get(pyproject, "project"), "requires-python");
	*ret = requires ? strdup(requires) : NULL;
	return requires && !*ret ? -ENOMEM : 0;
}
