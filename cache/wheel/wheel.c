#include "cache/wheel/wheel.h"

#include "cache/wheel/unpacked.h"
#include "cache/wheel/wheel_bytes.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* METADATA holds a README at times; RECORD a line a file. */
enum { LARGEST_TEXT = 64 << 20 };

static int read_member(const struct wheel *wheel, const struct zip_member *m,
		       struct buffer *out, struct error *reterr)
{
	CLEANUP(wheel_bytes_freep) struct wheel_bytes *content = NULL;
	uint32_t number = (uint32_t)(m - wheel->zip.members);
	if (m->size > LARGEST_TEXT)
		return error_set(reterr, -EBADMSG, "'%s' is too large", m->name);
	int r = wheel_bytes_open(wheel, number, number + 1, &content, reterr);
	if (r == 0)
		r = wheel_bytes_next(content, reterr);
	while (r >= 0) {
		const void *bytes;
		size_t size = 0;
		r = wheel_bytes_read(content, &bytes, &size, reterr);
		if (r < 0 || size == 0)
			break;
		if (size > m->size - out->size)
			return error_set(reterr, -EBADMSG, "'%s' is larger than it says",
					 m->name);
		r = buffer_append(out, bytes, size);
	}
	return r;
}

static int read_text(const struct wheel *wheel, const char *file, bool needed,
		     struct buffer *out, struct error *reterr)
{
	char path[400];
	(void)snprintf(path, sizeof(path), "%s/%s", wheel->dist_info, file);
	const struct zip_member *m = zip_find(&wheel->zip, path);
	if (!m && needed)
		return error_set(reterr, -EBADMSG, "it has no %s", path);
	return m ? read_member(wheel, m, out, reterr) : 0;
}

/* Exactly one directory at the top whose name ends with .dist-info. */
static int find_dist_info(struct wheel *wheel, struct error *reterr)
{
	for (uint32_t i = 0; i < wheel->zip.count; i++) {
		const char *name = wheel->zip.members[i].name;
		size_t size = strcspn(name, "/");
		if (name[size] != '/' || size < 10 || size >= 256 ||
		    strncmp(name + size - 10, ".dist-info", 10) != 0)
			continue;
		if (wheel->dist_info[0] && (strncmp(wheel->dist_info, name, size) != 0 ||
					    wheel->dist_info[size] != '\0'))
			return error_set(reterr, -EBADMSG,
					 "it has several .dist-info directories");
		(void)snprintf(wheel->dist_info, sizeof(wheel->dist_info), "%.*s",
			       (int)size, name);
		(void)snprintf(wheel->data, sizeof(wheel->data), "%.*s.data/",
			       (int)size - 10, name);
	}
	return wheel->dist_info[0]
		   ? 0
		   : error_set(reterr, -EBADMSG, "it has no .dist-info directory");
}

static int check_dist_info_name(const struct wheel *wheel, struct error *reterr)
{
	char stem[300];
	(void)snprintf(stem, sizeof(stem), "%.*s", (int)strlen(wheel->dist_info) - 10,
		       wheel->dist_info);
	char *dash = strrchr(stem, '-');
	if (dash)
		*dash = '\0';
	if (!dash || !same_name(stem, wheel->name.distribution) ||
	    !same_version(dash + 1, wheel->name.version))
		return error_set(
		    reterr, -EBADMSG,
		    "its directory %s and its file name are of different releases",
		    wheel->dist_info);
	return 0;
}

static int check_metadata(const struct wheel *wheel, struct error *reterr)
{
	char name[256];
	char version[128];
	const char *text = (const char *)wheel->metadata.data;
	if (!header_value(text, wheel->metadata.size, "Name", 0, name, sizeof(name)) ||
	    !header_value(text, wheel->metadata.size, "Version", 0, version,
			  sizeof(version)))
		return error_set(reterr, -EBADMSG,
				 "its METADATA has no Name or no Version");
	if (!same_name(name, wheel->name.distribution))
		return error_set(
		    reterr, -EBADMSG,
		    "its METADATA names '%s', its file name another distribution", name);
	if (!same_version(wheel->name.version, version))
		return error_set(reterr, -EBADMSG,
				 "its METADATA has version '%s', its file name another",
				 version);
	return 0;
}

static int check_info(const struct wheel *wheel, struct error *reterr)
{
	char version[32];
	char value[16];
	const char *text = (const char *)wheel->info.data;
	size_t size = wheel->info.size;
	if (!header_value(text, size, "Wheel-Version", 0, version, sizeof(version)))
		return error_set(reterr, -EBADMSG, "its WHEEL has no Wheel-Version");
	if ((strncmp(version, "1.", 2) != 0 && strcmp(version, "1") != 0 &&
	     strcmp(version, "0.1") != 0))
		return error_set(reterr, -EBADMSG,
				 "its Wheel-Version %s is not known to this venvfs",
				 version);
	if (!header_value(text, size, "Root-Is-Purelib", 0, value, sizeof(value)) ||
	    (strcasecmp(value, "true") != 0 && strcasecmp(value, "false") != 0))
		return error_set(reterr, -EBADMSG,
				 "its WHEEL does not say whether Root-Is-Purelib");
	return 0;
}

/*
 * Which tags do not matter: installers go by those of the file name, and wheels whose
 * WHEEL says something else are in use (playwright's).
 */
static int check_tags(const struct wheel *wheel, struct error *reterr)
{
	char tag[256];
	return header_value((const char *)wheel->info.data, wheel->info.size, "Tag", 0,
			    tag, sizeof(tag))
		   ? 0
		   : error_set(reterr, -EBADMSG, "its WHEEL has no Tag");
}

static bool is_in_dist_info(const struct wheel *wheel, const char *path, const char *file)
{
	size_t size = strlen(wheel->dist_info);
	return strncmp(path, wheel->dist_info, size) == 0 && path[size] == '/' &&
	       strcmp(path + size + 1, file) == 0;
}

static bool is_record_file(const struct wheel *wheel, const char *path)
{
	return is_in_dist_info(wheel, path, "RECORD") ||
	       is_in_dist_info(wheel, path, "RECORD.jws") ||
	       is_in_dist_info(wheel, path, "RECORD.p7s");
}

/* What lenient_record waives. */
static int waive(struct wheel *wheel, bool lenient, const char *what, const char *path,
		 const char *rest, struct error *reterr)
{
	wheel->is_lenient = true;
	return lenient
		   ? 0
		   : error_set(reterr, -EBADMSG, "RECORD %s '%s'%s", what, path, rest);
}

/* Every file is listed with a hash, and everything listed is there. */
static int check_record(struct wheel *wheel, bool lenient, struct error *reterr)
{
	int r = 0;
	for (uint32_t i = 0; i < wheel->zip.count; i++) {
		const struct zip_member *m = &wheel->zip.members[i];
		struct record_row *row = record_find(&wheel->record, m->name);
		if (row)
			row->matched = true;
		if (m->is_directory || is_record_file(wheel, m->name))
			continue;
		if (!row || !row->has_hash)
			r = waive(wheel, lenient, "has no sha256 of", m->name, "",
				  reterr);
		if (r < 0)
			return r;
		if (row && row->has_size && row->size != m->size)
			return error_set(reterr, -EBADMSG,
					 "RECORD has another size of '%s'", m->name);
	}
	for (uint32_t i = 0; r == 0 && i < wheel->record.count; i++) {
		const struct record_row *row = &wheel->record.rows[i];
		if (!row->matched && !is_record_file(wheel, row->path))
			r = waive(wheel, lenient, "lists", row->path,
				  ", which is not there", reterr);
	}
	return r;
}

static int read_record(struct wheel *wheel, struct error *reterr)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = read_text(wheel, "RECORD", true, &text, reterr);
	if (r < 0)
		return r;
	return record_parse((const char *)text.data, text.size, &wheel->record, reterr);
}

static int read_entry_points(struct wheel *wheel, struct error *reterr)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = read_text(wheel, "entry_points.txt", false, &text, reterr);
	if (r < 0 || text.size == 0)
		return r;
	return entry_points_parse((const char *)text.data, text.size, &wheel->points,
				  reterr);
}

static int check_places(const struct wheel *wheel, struct error *reterr)
{
	for (uint32_t i = 0; i < wheel->zip.count; i++) {
		enum wheel_tree tree;
		const char *path;
		int r = wheel_place(wheel, &wheel->zip.members[i], &tree, &path, reterr);
		if (r < 0)
			return r;
	}
	return 0;
}

static int understand(struct wheel *wheel, const struct wheel_options *options,
		      struct error *reterr)
{
	int r = find_dist_info(wheel, reterr);
	if (r == 0)
		r = check_dist_info_name(wheel, reterr);
	if (r == 0)
		r = read_text(wheel, "METADATA", true, &wheel->metadata, reterr);
	if (r == 0)
		r = check_metadata(wheel, reterr);
	if (r == 0)
		r = read_text(wheel, "WHEEL", true, &wheel->info, reterr);
	if (r == 0)
		r = check_info(wheel, reterr);
	if (r == 0)
		r = check_tags(wheel, reterr);
	if (r == 0)
		r = read_record(wheel, reterr);
	if (r == 0)
		r = check_record(wheel, options->lenient_record, reterr);
	if (r == 0)
		r = read_entry_points(wheel, reterr);
	return r < 0 ? r : check_places(wheel, reterr);
}

/* Takes the wheel when r is 0. */
static int hand_over(struct wheel *wheel, int r, const char *file_name, struct wheel *ret)
{
	if (r < 0)
		return r;
	*ret = *wheel;
	/* The parts of the name point into the struct that they are in: parsed there once
	 * more. */
	(void)wheel_name_parse(file_name, &ret->name, NULL);
	*wheel = (struct wheel){ .fd = -1 };
	return 0;
}

int wheel_open(int fd, uint64_t size, const char *file_name,
	       const struct wheel_options *options, struct wheel *ret,
	       struct error *reterr)
{
	CLEANUP(wheel_release) struct wheel wheel = { .fd = fd };
	int r = wheel_name_parse(file_name, &wheel.name, reterr);
	if (r == 0)
		r = zip_open(fd, size, &options->limits, &wheel.zip, reterr);
	if (r == 0)
		r = understand(&wheel, options, reterr);
	return hand_over(&wheel, r, file_name, ret);
}

int wheel_open_unpacked(int fd, const char *file_name,
			const struct wheel_options *options, struct wheel *ret,
			struct error *reterr)
{
	CLEANUP(wheel_release) struct wheel wheel = { .fd = fd, .is_folder = true };
	int r = wheel_name_parse(file_name, &wheel.name, reterr);
	if (r == 0)
		r = unpacked_open(fd, &options->limits, &wheel.zip, reterr);
	if (r == 0)
		r = understand(&wheel, options, reterr);
	return hand_over(&wheel, r, file_name, ret);
}

void wheel_release(struct wheel *wheel)
{
	zip_release(&wheel->zip);
	record_release(&wheel->record);
	entry_points_release(&wheel->points);
	buffer_release(&wheel->metadata);
	buffer_release(&wheel->info);
}

/* A launcher of that name will be made, and takes the place of what wrappers are called.
 */
static bool is_replaced(const struct wheel *wheel, const char *script)
{
	static const char *const ends[] = { "", ".exe", "-script.py", ".pya", NULL };
	size_t size = strlen(script);
	for (size_t i = 0; ends[i]; i++) {
		size_t end = strlen(ends[i]);
		if (size > end && strcmp(script + size - end, ends[i]) == 0 &&
		    entry_points_have(&wheel->points, script, size - end))
			return true;
	}
	return false;
}

/* Files of the venv itself, which no wheel may bring, nor files where it has folders. */
static bool is_reserved_path(const char *path)
{
	if (strcasecmp(path, "bin") == 0 || strcasecmp(path, "lib") == 0)
		return true;
	static const char *const files[] = { "pyvenv.cfg", "lib64", ".lock", ".gitignore",
					     "CACHEDIR.TAG" };
	size_t first = strcspn(path, "/");
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (strlen(files[i]) == first && strncasecmp(path, files[i], first) == 0)
			return true;
	}
	return strncasecmp(path, "bin/", 4) == 0 && is_reserved_script_name(path + 4);
}

static int place_script(const struct wheel *wheel, const struct zip_member *m,
			const char *path, enum wheel_tree *ret_tree, struct error *reterr)
{
	if (strchr(path, '/'))
		return error_set(reterr, -EBADMSG,
				 "script '%s' lies in a directory of its own", m->name);
	if (is_reserved_script_name(path))
		return error_set(reterr, -EBADMSG,
				 "'%s' would take the interpreter's place", m->name);
	*ret_tree = is_replaced(wheel, path) ? TREE_NOWHERE : TREE_SCRIPT;
	return 0;
}

static int place_data(const struct wheel *wheel, const struct zip_member *m,
		      enum wheel_tree *ret_tree, const char **ret_path,
		      struct error *reterr)
{
	static const struct {
		const char *key;
		enum wheel_tree tree;
	} schemes[] = { { "purelib/", TREE_SITE },
			{ "platlib/", TREE_SITE },
			{ "scripts/", TREE_SCRIPT },
			{ "headers/", TREE_INCLUDE },
			{ "data/", TREE_ROOT } };
	const char *path = m->name + strlen(wheel->data);
	if (m->is_directory) {
		*ret_tree = TREE_NOWHERE;
		return 0;
	}
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t size = strlen(schemes[i].key);
		if (strncmp(path, schemes[i].key, size) != 0)
			continue;
		*ret_tree = schemes[i].tree;
		*ret_path = path + size;
		if (schemes[i].tree == TREE_SCRIPT)
			return place_script(wheel, m, *ret_path, ret_tree, reterr);
		if (schemes[i].tree == TREE_ROOT && is_reserved_path(*ret_path))
			return error_set(
			    reterr, -EBADMSG,
			    "'%s' would take the place of one of the venv's own files",
			    m->name);
		return 0;
	}
	return error_set(reterr, -EBADMSG, "'%s' belongs to no installation scheme",
			 m->name);
}

int wheel_place(const struct wheel *wheel, const struct zip_member *member,
		enum wheel_tree *ret_tree, const char **ret_path, struct error *reterr)
{
	*ret_path = member->name;
	if (strncmp(member->name, wheel->data, strlen(wheel->data)) == 0)
		return place_data(wheel, member, ret_tree, ret_path, reterr);
	*ret_tree = is_in_dist_info(wheel, member->name, "RECORD") ||
			    is_in_dist_info(wheel, member->name, "INSTALLER") ||
			    is_in_dist_info(wheel, member->name, "REQUESTED") ||
			    is_in_dist_info(wheel, member->name, "direct_url.json")
			? TREE_NOWHERE
			: TREE_SITE;
	return 0;
}
