/* What comes after the members: the dist-info files that an installer writes, RECORD, and
 * what `mount` will ask of the image. */
#include "cache/wheel/unpack_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int unpack_add_row(struct buffer *rows, const char *prefix, const char *path,
		   const struct sha256 *sha256, uint64_t size)
{
	struct row row = { .sha256 = *sha256, .size = size };
	if (asprintf(&row.path, "%s%s", prefix, path) < 0)
		return -ENOMEM;
	int r = buffer_append(rows, &row, sizeof(row));
	if (r < 0)
		free(row.path);
	return r;
}

static int add_small(struct unpack *u, const char *file, const char *text)
{
	char path[400];
	struct sha256 sha256 = sha256_of(text, strlen(text));
	(void)snprintf(path, sizeof(path), "site-packages/%s/%s", u->wheel->dist_info,
		       file);
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	int r = image_writer_add_file(u->writer, &item, text, strlen(text), true);
	return r < 0 ? r
		     : unpack_add_row(&u->rows, "", path + strlen("site-packages/"),
				      &sha256, strlen(text));
}

static int compare_rows(const void *a, const void *b)
{
	const struct row *x = a;
	const struct row *y = b;
	return strcmp(x->path, y->path);
}

static void sort_rows(struct buffer *rows)
{
	if (rows->size > sizeof(struct row))
		qsort(rows->data, rows->size / sizeof(struct row), sizeof(struct row),
		      compare_rows);
}

/*
 * The rows as text, twice: for the section without RECORD's own row, and for the file
 * with it where it sorts.
 */
static int format_rows(struct unpack *u, struct buffer *section, struct buffer *file)
{
	char own[400];
	(void)snprintf(own, sizeof(own), "%s/RECORD", u->wheel->dist_info);
	bool placed = false;
	int r = 0;
	sort_rows(&u->rows);
	for (size_t at = 0; r == 0 && at < u->rows.size; at += sizeof(struct row)) {
		struct row row;
		memcpy(&row, u->rows.data + at, sizeof(row));
		size_t before = section->size;
		if (!placed && strcmp(row.path, own) > 0) {
			placed = true;
			r = record_append(file, own, NULL, 0);
		}
		if (r == 0)
			r = record_append(section, row.path, &row.sha256, row.size);
		if (r == 0)
			r = buffer_append(file, section->data + before,
					  section->size - before);
	}
	return r < 0 || placed ? r : record_append(file, own, NULL, 0);
}

static int add_record(struct unpack *u)
{
	cleanup_buffer struct buffer section = BUFFER_INIT;
	cleanup_buffer struct buffer file = BUFFER_INIT;
	char path[400];
	(void)snprintf(path, sizeof(path), "site-packages/%s/RECORD",
		       u->wheel->dist_info);
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	int r = format_rows(u, &section, &file);
	if (r == 0)
		r = image_writer_set_record(u->writer, (const char *)section.data,
					    section.size);
	return r < 0
		   ? r
		   : image_writer_add_file(u->writer, &item, file.data, file.size, false);
}

static int add_text_info(struct unpack *u, enum info_key key, const char *text)
{
	return image_writer_add_info(u->writer, key, text, strlen(text));
}

/* The next part of a set "py2.py3"; false at its end. */
static bool next_part(const char **set, int *ret_size)
{
	if (**set == '.')
		++*set;
	*ret_size = (int)strcspn(*set, ".");
	return *ret_size > 0;
}

/* "py2.py3-none-any" is two tags. */
static int add_tags(struct unpack *u)
{
	const struct wheel_name *name = &u->wheel->name;
	int r = 0;
	int a;
	int b;
	int c;
	for (const char *x = name->python; r == 0 && next_part(&x, &a); x += a)
		for (const char *y = name->abi; r == 0 && next_part(&y, &b); y += b)
			for (const char *z = name->platform; r == 0 && next_part(&z, &c);
			     z += c) {
				char tag[256];
				(void)snprintf(tag, sizeof(tag), "%.*s-%.*s-%.*s", a, x,
					       b, y, c, z);
				r = add_text_info(u, INFO_TAG, tag);
			}
	return r;
}

static int add_names(struct unpack *u)
{
	char value[256];
	const struct wheel *w = u->wheel;
	const char *metadata = (const char *)w->metadata.data;
	int r = 0;
	if (header_value(metadata, w->metadata.size, "Name", 0, value, sizeof(value)))
		r = add_text_info(u, INFO_NAME, value);
	if (r == 0 &&
	    header_value(metadata, w->metadata.size, "Version", 0, value, sizeof(value)))
		r = add_text_info(u, INFO_VERSION, value);
	if (r == 0)
		r = add_tags(u);
	return r < 0 ? r : add_text_info(u, INFO_DIST_INFO, w->dist_info);
}

static int add_entry_points(struct unpack *u)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < u->wheel->points.count; i++) {
		const struct entry_point *p = &u->wheel->points.items[i];
		cleanup_buffer struct buffer text = BUFFER_INIT;
		r = buffer_printf(&text, "%s = %s:%s", p->name, p->module, p->function);
		if (r == 0)
			r = image_writer_add_info(
			    u->writer, p->is_gui ? INFO_GUI_SCRIPT : INFO_CONSOLE_SCRIPT,
			    (const char *)text.data, text.size);
	}
	return r;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_scripts_and_headers(struct unpack *u)
{
	int r = 0;
	if (u->scripts.size > sizeof(char *))
		qsort(u->scripts.data, u->scripts.size / sizeof(char *), sizeof(char *),
		      compare_texts);
	for (size_t at = 0; r == 0 && at < u->scripts.size; at += sizeof(char *)) {
		const char *name;
		memcpy(&name, u->scripts.data + at, sizeof(name));
		r = add_text_info(u, INFO_PYTHON_SCRIPT, name);
	}
	sort_rows(&u->headers);
	for (size_t at = 0; r == 0 && at < u->headers.size; at += sizeof(struct row)) {
		struct row row;
		cleanup_buffer struct buffer text = BUFFER_INIT;
		memcpy(&row, u->headers.data + at, sizeof(row));
		r = record_append(&text, row.path, &row.sha256, row.size);
		if (r == 0)
			r = image_writer_add_info(u->writer, INFO_RECORD_TEMPLATE,
						  (const char *)text.data, text.size - 1);
	}
	return r;
}

int unpack_finish(struct unpack *u, struct digest *ret_image, struct error *reterr)
{
	int r = add_small(u, "INSTALLER", "venvfs");
	if (r == 0)
		r = add_small(u, "REQUESTED", "");
	if (r == 0)
		r = add_record(u);
	if (r == 0)
		r = add_names(u);
	if (r == 0)
		r = add_entry_points(u);
	if (r == 0)
		r = add_scripts_and_headers(u);
	if (r == 0)
		r = image_writer_publish(u->writer, ret_image, reterr);
	if (r < 0 && reterr && !reterr->text[0])
		return error_errno(reterr, r, "cannot write to the cache");
	return r;
}
