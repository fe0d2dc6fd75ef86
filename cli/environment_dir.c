#include "cli/environment_dir.h"

#include "cache/base/file.h"
#include "cache/base/json.h"
#include "cache/store/store.h"
#include "cache/toml/toml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char fact_kind[] = "requires";

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

int environment_path(const char *dir, char **ret_path, struct error *reterr)
{
	cleanup_free char *usual = NULL;
	int r = dir ? 0 : environment_dir(&usual);
	if (r < 0)
		return error_errno(reterr, r, "cannot find out the working directory");
	return path_canonical(dir ? dir : usual, ret_path, reterr);
}

static int parse_requires(const struct buffer *text, char **ret, struct error *reterr)
{
	cleanup_json json_t *document = NULL;
	int r = toml_parse(text->data, text->size, &document, reterr);
	if (r < 0)
		return r;
	const char *said =
	    json_get_text(json_object_get(document, "project"), "requires-python");
	*ret = strdup(said ? said : "");
	return *ret ? 0 : -ENOMEM;
}

int environment_requires(struct store *store, const char *project, char **ret_specifiers,
			 struct error *reterr)
{
	enum { LARGEST_PROJECT = 16 << 20 };
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_buffer struct buffer known = BUFFER_INIT;
	cleanup_free char *file = path_join(project, "pyproject.toml");
	if (!file)
		return -ENOMEM;
	int r = file_read_at(AT_FDCWD, file, LARGEST_PROJECT, &text);
	if (r < 0)
		return error_errno(reterr, r, "cannot read '%s'", file);
	struct digest key = digest_of(text.data, text.size);
	if (store_get_fact(store, fact_kind, &key, &known) == 0 && buffer_cstr(&known)) {
		*ret_specifiers = buffer_steal(&known);
		return 0;
	}
	r = parse_requires(&text, ret_specifiers, reterr);
	if (r < 0)
		return error_prefix(reterr, r, "%s", file);
	/* Without it the next time is slower, and nothing else. */
	(void)store_put_fact(store, fact_kind, &key, *ret_specifiers,
			     strlen(*ret_specifiers));
	return 0;
}
