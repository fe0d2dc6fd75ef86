#include "cache/source/uv_files.h"

#include "cache/base/file.h"
#include "cache/source/url.h"
#include "cache/source/words.h"
#include "cache/toml/toml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_FILE = 4 << 20 };

struct reader {
	struct uv_settings *settings;
	const char *folder; /* that the file lies in: paths in it are relative to it */
};

/* What a file of more weight has said stands. */
static int set(char **text, const char *value)
{
	if (*text || !value)
		return 0;
	*text = strdup(value);
	return *text ? 0 : -ENOMEM;
}

static bool is_url(const char *text)
{
	return strstr(text, "://") != NULL;
}

/* A URL, or the absolute path of a folder; the caller frees it. */
static char *place_of(const struct reader *r, const char *text)
{
	return is_url(text) || *text == '/' ? strdup(text) : path_join(r->folder, text);
}

static int add_index(const struct reader *r, const json_t *row)
{
	const char *url = json_get_text(row, "url");
	const char *format = json_get_text(row, "format");
	if (!url)
		return 0;
	cleanup_free char *place = place_of(r, url);
	cleanup_free char *name = NULL;
	int result = set(&name, json_get_text(row, "name"));
	if (!place || result < 0)
		return -ENOMEM;
	struct uv_index index = { .name = name,
				  .url = place,
				  .is_default = json_get_bool(row, "default", false),
				  .explicit_only = json_get_bool(row, "explicit", false),
				  .flat = format && strcmp(format, "flat") == 0 };
	return uv_settings_add_index(r->settings, &index);
}

/* Calls `add` with each text of a list. */
typedef int add_text(struct uv_settings *settings, const char *text);
static int add_texts(const struct reader *r, const json_t *list, bool places,
		     add_text *add)
{
	int result = 0;
	for (size_t i = 0; result == 0 && i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (!text)
			continue;
		cleanup_free char *place = places ? place_of(r, text) : strdup(text);
		result = place ? add(r->settings, place) : -ENOMEM;
	}
	return result;
}

static int take(const struct reader *r, const json_t *o)
{
	struct uv_settings *s = r->settings;
	const json_t *indexes = json_object_get(o, "index");
	cleanup_free char *cache = NULL;
	int result = 0;
	for (size_t i = 0; result == 0 && i < json_array_size(indexes); i++)
		result = add_index(r, json_array_get(indexes, i));
	if (result == 0)
		result = add_texts(r, json_object_get(o, "extra-index-url"), true,
				   uv_settings_add_extra_url);
	if (result == 0)
		result = add_texts(r, json_object_get(o, "find-links"), true,
				   uv_settings_add_find_links);
	if (result == 0)
		result = add_texts(r, json_object_get(o, "allow-insecure-host"), false,
				   uv_settings_add_insecure_host);
	if (result == 0)
		result = set(&s->index_url, json_get_text(o, "index-url"));
	if (result == 0)
		result = set(&s->index_strategy, json_get_text(o, "index-strategy"));
	if (result == 0)
		result =
		    set(&s->python_preference, json_get_text(o, "python-preference"));
	if (result == 0 && json_get_text(o, "cache-dir")) {
		cache = place_of(r, json_get_text(o, "cache-dir"));
		result = cache ? set(&s->cache_dir, cache) : -ENOMEM;
	}
	s->no_index = s->no_index || json_get_bool(o, "no-index", false);
	s->offline = s->offline || json_get_bool(o, "offline", false);
	s->no_cache = s->no_cache || json_get_bool(o, "no-cache", false);
	return result;
}

/* 1: it was there, 0: it was not. */
static int read_toml(const char *path, json_t **ret, struct error *reterr)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	if (file_read_at(AT_FDCWD, path, LARGEST_FILE, &text) < 0)
		return 0;
	int r =
	    toml_parse(text.data ? (const void *)text.data : "", text.size, ret, reterr);
	return r < 0 ? error_prefix(reterr, r, "%s", path) : 1;
}

/* uv.toml, or what a pyproject.toml has for uv. 1: it says something; 0: it does not. */
static int read_settings(struct uv_settings *s, const char *folder, const char *path,
			 bool is_project, struct error *reterr)
{
	cleanup_json json_t *root = NULL;
	struct reader reader = { s, folder };
	int r = read_toml(path, &root, reterr);
	const json_t *uv =
	    is_project ? json_object_get(json_object_get(root, "tool"), "uv") : root;
	if (r <= 0 || !json_is_object(uv))
		return r < 0 ? r : 0;
	r = take(&reader, uv);
	return r < 0 ? r : 1;
}

/* <base>/<name>, with paths in it relative to its own folder. */
static int read_below(struct uv_settings *s, const char *base, const char *name,
		      struct error *reterr)
{
	if (!base || *base != '/')
		return 0;
	cleanup_free char *folder = path_join(base, name);
	cleanup_free char *path = folder ? path_join(folder, "uv.toml") : NULL;
	return path ? read_settings(s, folder, path, false, reterr) : -ENOMEM;
}

static int read_project(struct uv_settings *s, const char *directory,
			struct error *reterr)
{
	cleanup_free char *folder = NULL;
	int r = path_canonical(directory, &folder, reterr);
	while (r == 0) {
		cleanup_free char *uv = path_join(folder, "uv.toml");
		cleanup_free char *project = path_join(folder, "pyproject.toml");
		char *slash = strrchr(folder, '/');
		if (!uv || !project)
			return -ENOMEM;
		r = read_settings(s, folder, uv, false, reterr);
		if (r == 0)
			r = read_settings(s, folder, project, true, reterr);
		if (!slash || (slash == folder && !folder[1]))
			break;
		slash[slash == folder] = '\0';
	}
	return r;
}

static int read_machine(struct uv_settings *s, struct error *reterr)
{
	const char *list = getenv("XDG_CONFIG_DIRS");
	cleanup_free char *copy = strdup(list && *list ? list : "/etc/xdg");
	char *rest = copy;
	int r = copy ? 0 : -ENOMEM;
	while (r == 0 && rest)
		r = read_below(s, strsep(&rest, ":"), "uv", reterr);
	return r == 0 ? read_below(s, "/etc", "uv", reterr) : r;
}

static int read_user(struct uv_settings *s, struct error *reterr)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	return xdg && *xdg ? read_below(s, xdg, "uv", reterr)
			   : read_below(s, getenv("HOME"), ".config/uv", reterr);
}

/* A file that was named must be there. */
static int read_named(struct uv_settings *s, const char *named, struct error *reterr)
{
	cleanup_free char *path = NULL;
	cleanup_free char *folder = NULL;
	int r = path_canonical(named, &path, reterr);
	if (r < 0)
		return r;
	folder = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	r = folder ? read_settings(s, folder, path, false, reterr) : -ENOMEM;
	return r != 0
		   ? r
		   : error_set(reterr, -ENOENT,
			       "UV_CONFIG_FILE names '%s', which cannot be read", named);
}

int uv_files_read(const char *directory, struct uv_settings *ret, struct error *reterr)
{
	const char *named = getenv("UV_CONFIG_FILE");
	const char *none = getenv("UV_NO_CONFIG");
	int r = 0;
	if (named && *named) {
		r = read_named(ret, named, reterr);
		return r < 0 ? r : 0;
	}
	if (none && word_is_on(none))
		return 0;
	r = read_project(ret, directory, reterr);
	if (r >= 0)
		r = read_user(ret, reterr);
	if (r >= 0)
		r = read_machine(ret, reterr);
	return r < 0 ? r : 0;
}
