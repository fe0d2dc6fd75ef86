/*
 * What a wheel has only in a mount: its launchers (their first line names the mount), the
 * rows of RECORD for them, direct_url.json and what uv notes beside it. The rows are
 * spliced into the sorted RECORD that the wheel's image holds, so that this costs one
 * copy of its text.
 */
#include "cache/base/file.h"
#include "cache/env/launcher.h"
#include "cache/env/skeleton.h"
#include "cache/wheel/record.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_SCRIPT = 32 << 20, ROWS_MOST = 1 << 16 };

/* A row to be spliced in. */
struct new_row {
	char *path;
	struct buffer line;
};

struct derived {
	struct image_writer *w;
	const struct environment_request *request;
	const struct environment_wheel *wheel;
	struct error *err;
	char python[4200]; /* bin/python of the mount */
	char dist_info[300];
	struct new_row *rows;
	size_t count;
};

static void derived_release(struct derived *d)
{
	for (size_t i = 0; i < d->count; i++) {
		free(d->rows[i].path);
		buffer_release(&d->rows[i].line);
	}
	free(d->rows);
}

/* Takes `path`, also when it fails. */
static int add_row(struct derived *d, char *take_path, const void *line, size_t size)
{
	cleanup_free char *path = take_path;
	if (!path || d->count >= ROWS_MOST)
		return -ENOMEM;
	struct new_row *rows = reallocarray(d->rows, d->count + 1, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	d->rows = rows;
	struct new_row *row = &rows[d->count];
	*row = (struct new_row){ .line = BUFFER_INIT };
	int r = buffer_append(&row->line, line, size);
	if (r < 0)
		return r;
	row->path = steal_ptr(path);
	d->count++;
	return 0;
}

static int add_content_row(struct derived *d, char *take_path,
			   const struct buffer *content)
{
	cleanup_free char *path = take_path;
	cleanup_buffer struct buffer line = BUFFER_INIT;
	struct sha256 sha256 = sha256_of(content->data, content->size);
	int r = path ? record_append(&line, path, &sha256, content->size) : -ENOMEM;
	return r < 0 ? r : add_row(d, steal_ptr(path), line.data, line.size);
}

/* A script in bin/, with its row. */
static int add_script(struct derived *d, const char *name, const struct buffer *content)
{
	char path[300];
	char *row_path = NULL;
	(void)snprintf(path, sizeof(path), "root/bin/%s", name);
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0755 };
	int r = image_writer_add_file(d->w, &item, content->data, content->size, false);
	if (r == -EEXIST || r == -EINVAL)
		return error_set(d->err, -EBADMSG, "%s has two scripts '%s'",
				 d->dist_info, name);
	if (r < 0)
		return r;
	if (asprintf(&row_path, "../../../bin/%s", name) < 0)
		return -ENOMEM;
	return add_content_row(d, row_path, content);
}

/* pip's own wheel does not know for which Python it will be: pip3.N is made from "pip".
 */
static bool is_pip(const struct derived *d)
{
	return strncmp(d->dist_info, "pip-", 4) == 0;
}

static bool is_pip_of_a_version(const char *name)
{
	return strncmp(name, "pip3.", 5) == 0 && isdigit((unsigned char)name[5]);
}

static int add_named_launcher(struct derived *d, const char *name, const char *module,
			      const char *function)
{
	cleanup_buffer struct buffer script = BUFFER_INIT;
	int r = launcher_script(&script, d->python, module, function);
	return r < 0 ? r : add_script(d, name, &script);
}

static int add_pip_of_this_python(struct derived *d, const char *module,
				  const char *function)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "pip%d.%d", d->request->interpreter->major,
		       d->request->interpreter->minor);
	return add_named_launcher(d, name, module, function);
}

/* "name = module:function", as cache/wheel wrote it; the image is untrusted all the same.
 */
static int add_launcher(struct derived *d, const struct info *info)
{
	char text[1024];
	if (info->size >= sizeof(text))
		return -EBADMSG;
	memcpy(text, info->value, info->size);
	text[info->size] = '\0';
	char *equals = strstr(text, " = ");
	char *colon = equals ? strchr(equals, ':') : NULL;
	if (!colon || strchr(text, '/') || strchr(text, '\n') || equals == text ||
	    equals - text >= 256)
		return -EBADMSG;
	*equals = '\0';
	*colon = '\0';
	const char *module = equals + 3;
	const char *function = colon + 1;
	if (is_pip(d) && is_pip_of_a_version(text))
		return 0;
	int r = add_named_launcher(d, text, module, function);
	return r == 0 && is_pip(d) && strcmp(text, "pip") == 0
		   ? add_pip_of_this_python(d, module, function)
		   : r;
}

/* A script that begins with #!python gets this interpreter's first line instead. */
static int add_python_script(struct derived *d, const struct info *info)
{
	char path[300];
	struct entry e;
	cleanup_buffer struct buffer old = BUFFER_INIT;
	cleanup_buffer struct buffer script = BUFFER_INIT;
	if (info->size >= 256 || memchr(info->value, '/', info->size))
		return -EBADMSG;
	(void)snprintf(path, sizeof(path), "scripts/%.*s", (int)info->size, info->value);
	int r = image_resolve(d->wheel->image, path, &e);
	if (r == 0)
		r = image_read_file(d->wheel->image, &e, LARGEST_SCRIPT, &old);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	const uint8_t *end = memchr(old.data, '\n', old.size);
	size_t first = end ? (size_t)(end + 1 - old.data) : old.size;
	r = launcher_shebang(&script, d->python);
	if (r == 0)
		r = buffer_append(&script, old.data + first, old.size - first);
	return r < 0 ? r : add_script(d, path + strlen("scripts/"), &script);
}

/* The path of a RECORD row, unquoted; the rest of the line is left alone. */
static char *row_path(const char *line, size_t size)
{
	char *path = malloc(size + 1);
	size_t used = 0;
	size_t i = 0;
	bool quoted = size > 0 && line[0] == '"';
	if (!path)
		return NULL;
	for (i = quoted; i < size; i++) {
		if (quoted && line[i] == '"' && (i + 1 == size || line[++i] != '"'))
			break;
		if (!quoted && line[i] == ',')
			break;
		path[used++] = line[i];
	}
	path[used] = '\0';
	return path;
}

/* "<dist>/x.h,sha256=...,3": below the include directory of this interpreter. */
static int add_header_row(struct derived *d, const struct info *info)
{
	cleanup_buffer struct buffer line = BUFFER_INIT;
	const char *include = d->request->interpreter->include;
	bool quoted = info->size > 0 && info->value[0] == '"';
	int r = buffer_printf(&line, "%s../../../%s/%.*s\n", quoted ? "\"" : "", include,
			      (int)info->size - quoted, info->value + quoted);
	if (r < 0)
		return r;
	return add_row(d, row_path((const char *)line.data, line.size), line.data,
		       line.size);
}

static int add_infos(struct derived *d)
{
	uint32_t cursor = 0;
	struct info info;
	int r;
	while ((r = image_info_next(d->wheel->image, &cursor, &info)) > 0) {
		int added = 0;
		if (info.key == INFO_CONSOLE_SCRIPT || info.key == INFO_GUI_SCRIPT)
			added = add_launcher(d, &info);
		else if (info.key == INFO_PYTHON_SCRIPT)
			added = add_python_script(d, &info);
		else if (info.key == INFO_RECORD_TEMPLATE)
			added = add_header_row(d, &info);
		if (added < 0)
			return added;
	}
	return r;
}

/* A file of dist-info that says where the wheel came from. */
static int add_note(struct derived *d, const char *name, const char *said)
{
	char path[400];
	char *row = NULL;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = said ? buffer_append_text(&text, said) : 0;
	if (r < 0 || !said)
		return r;
	(void)snprintf(path, sizeof(path), "site-packages/%s/%s", d->dist_info, name);
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	r = image_writer_add_file(d->w, &item, text.data, text.size, false);
	if (r < 0)
		return r;
	if (asprintf(&row, "%s/%s", d->dist_info, name) < 0)
		return -ENOMEM;
	return add_content_row(d, row, &text);
}

static int add_notes(struct derived *d)
{
	const struct environment_wheel *wheel = d->wheel;
	int r = add_note(d, "direct_url.json", wheel->direct_url);
	if (r == 0)
		r = add_note(d, "uv_cache.json", wheel->uv_cache);
	if (r == 0)
		r = add_note(d, "uv_build.json", wheel->uv_build);
	return r == 0 ? add_note(d, "INSTALLER", wheel->installer) : r;
}

static int compare_rows(const void *a, const void *b)
{
	const struct new_row *x = a;
	const struct new_row *y = b;
	return strcmp(x->path, y->path);
}

/* The order of the row of `line` and `path`: compared without a copy unless it is quoted.
 */
static int compare_row(const char *line, size_t size, const char *path)
{
	if (size > 0 && line[0] == '"') {
		cleanup_free char *unquoted = row_path(line, size);
		return unquoted ? strcmp(unquoted, path) : 1;
	}
	const char *comma = memchr(line, ',', size);
	size_t length = comma ? (size_t)(comma - line) : size;
	size_t other = strlen(path);
	int order = memcmp(line, path, length < other ? length : other);
	return order ? order : (length > other) - (length < other);
}

/* Where the line that byte `at` lies in begins and ends, no further back than `low`. */
static void line_around(const char *text, size_t size, size_t low, size_t at,
			size_t *ret_start, size_t *ret_end)
{
	const char *before = memrchr(text + low, '\n', at - low);
	const char *newline = memchr(text + at, '\n', size - at);
	*ret_start = before ? (size_t)(before + 1 - text) : low;
	*ret_end = newline ? (size_t)(newline + 1 - text) : size;
}

/*
 * Where `path` stands or would stand in the sorted text: a bisection, as texts are long
 * and new rows few. *ret_own: the size of its own row there, or 0.
 */
static size_t size_before(const char *text, size_t size, const char *path,
			  size_t *ret_own)
{
	size_t low = 0;
	size_t high = size;
	*ret_own = 0;
	while (low < high) {
		size_t start;
		size_t end;
		line_around(text, size, low, low + (high - low) / 2, &start, &end);
		int order = compare_row(text + start, end - start, path);
		if (order < 0)
			low = end;
		else
			high = start;
		if (order == 0)
			*ret_own = end - start;
	}
	return low;
}

/* Where the wheel has a file of its own at a new one's path, the new one covers it. */
static int splice(const struct derived *d, const char *text, size_t size,
		  struct buffer *out)
{
	int r = buffer_reserve(out, size + d->count * 128);
	for (size_t i = 0; r == 0 && i < d->count; i++) {
		const struct new_row *row = &d->rows[i];
		size_t own;
		size_t before = size_before(text, size, row->path, &own);
		r = buffer_append(out, text, before);
		if (r == 0)
			r = buffer_append(out, row->line.data, row->line.size);
		text += before + own;
		size -= before + own;
	}
	return r < 0 ? r : buffer_append(out, text, size);
}

static int add_record(struct derived *d)
{
	char path[400];
	char *own = NULL;
	const char *text;
	size_t size;
	cleanup_buffer struct buffer line = BUFFER_INIT;
	cleanup_buffer struct buffer record = BUFFER_INIT;
	int r = image_record(d->wheel->image, &text, &size);
	if (r < 0)
		return -EBADMSG;
	if (asprintf(&own, "%s/RECORD", d->dist_info) < 0)
		return -ENOMEM;
	r = record_append(&line, own, NULL, 0);
	(void)snprintf(path, sizeof(path), "site-packages/%s", own);
	if (r < 0) {
		free(own);
		return r;
	}
	r = add_row(d, own, line.data, line.size);
	if (r < 0)
		return r;
	qsort(d->rows, d->count, sizeof(*d->rows), compare_rows);
	r = splice(d, text, size, &record);
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	return r < 0
		   ? r
		   : image_writer_add_file(d->w, &item, record.data, record.size, false);
}

int skeleton_add_wheel(struct image_writer *w, const struct environment_request *request,
		       const struct environment_wheel *wheel, bool *ret_needed,
		       struct error *reterr)
{
	CLEANUP(derived_release)
	struct derived d = { .w = w, .request = request, .wheel = wheel, .err = reterr };
	struct info info;
	int n =
	    snprintf(d.python, sizeof(d.python), "%s/bin/python", request->mount_path);
	if (n < 0 || (size_t)n >= sizeof(d.python))
		return -ENAMETOOLONG;
	int r = image_info(wheel->image, INFO_DIST_INFO, &info);
	if (r < 0 || info.size >= sizeof(d.dist_info) ||
	    memchr(info.value, '/', info.size))
		return -EBADMSG;
	(void)snprintf(d.dist_info, sizeof(d.dist_info), "%.*s", (int)info.size,
		       info.value);
	r = add_infos(&d);
	if (r == 0)
		r = add_notes(&d);
	*ret_needed = d.count > 0;
	return r < 0 || d.count == 0 ? r : add_record(&d);
}
