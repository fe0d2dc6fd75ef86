#include "cache/source/simple.h"

#include "cache/base/error.h"
#include "cache/base/json.h"

#include <errno.h>
#include <string.h>

/* "1.3": versions of 1 only add to it. */
static int check_version(const json_t *page, struct error *reterr)
{
	const json_t *meta = json_object_get(page, "meta");
	const char *version =
	    json_is_object(meta) ? json_get_text(meta, "api-version") : NULL;
	if (!version)
		return error_set(reterr, -EBADMSG, "it is no page of an index");
	if (strncmp(version, "1.", 2) != 0 && strcmp(version, "1") != 0)
		return error_set(reterr, -EBADMSG,
				 "version '%.20s' of its Simple API is not known here",
				 version);
	return 0;
}

static int set(char **text, const char *value)
{
	*text = value ? strdup(value) : NULL;
	return value && !*text ? -ENOMEM : 0;
}

static int add_hashes(struct simple_file *f, const json_t *hashes)
{
	const char *algorithm;
	json_t *hex;
	int r = 0;
	/* The macro wants what it does not change to be changeable. */
	json_t *walked =
	    json_is_object(hashes) ? json_incref((json_t *)(uintptr_t)hashes) : NULL;
	json_object_foreach(walked, algorithm, hex)
	{
		if (r == 0 && json_is_string(hex))
			r = simple_file_add_hash(f, algorithm, json_string_value(hex));
	}
	json_decref(walked);
	return r;
}

static int add_file(struct simple_page *page, const json_t *row)
{
	const char *name = json_get_text(row, "filename");
	const char *url = json_get_text(row, "url");
	const json_t *yanked = json_object_get(row, "yanked");
	if (!name || !url || strchr(name, '/'))
		return 0;
	struct simple_file f = { .yanked =
				     json_is_true(yanked) || json_is_string(yanked) };
	f.bytes.size = json_get_int(row, "size", -1);
	if (f.bytes.size < 0)
		f.bytes.size = -1;
	int r = set(&f.name, name);
	if (r == 0)
		r = set(&f.url, url);
	if (r == 0)
		r = set(&f.requires_python, json_get_text(row, "requires-python"));
	if (r == 0)
		r = add_hashes(&f, json_object_get(row, "hashes"));
	if (r < 0) {
		simple_file_release(&f);
		return r;
	}
	f.url[strcspn(f.url, "#")] = '\0';
	return simple_page_add(page, &f);
}

int simple_parse_json(const void *bytes, size_t size, struct simple_page *ret,
		      struct error *reterr)
{
	CLEANUP(simple_page_release) struct simple_page page = { .files = NULL };
	cleanup_json json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
	const json_t *files = json_object_get(root, "files");
	if (!json_is_object(root) || !json_is_array(files))
		return error_set(reterr, -EBADMSG, "it is no page of an index");
	int r = check_version(root, reterr);
	for (size_t i = 0; r == 0 && i < json_array_size(files); i++)
		r = add_file(&page, json_array_get(files, i));
	if (r < 0)
		return r;
	*ret = page;
	page = (struct simple_page){ .files = NULL };
	return 0;
}
