#include "cache/wheel/unpack.h"

#include "cache/store/image_writer.h"
#include "cache/wheel/archive.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RANGE_SIZE = 4 << 20, /* packed bytes: enough work to be worth handing out */
	IN_MEMORY = 32 << 20, /* larger members stream into the writer */
	LONGEST_PATH = 4096,
};

/* A row of the installed RECORD. */
struct row {
	char *path;
	struct sha256 sha256;
	uint64_t size;
};

struct unpack {
	struct wheel *wheel; /* borrowed */
	uint32_t
	    *starts; /* first member of each range, and the count of members at the end */
	uint32_t ranges;
	char name[256]; /* of the distribution, normalised: where headers go */
	pthread_mutex_t lock;
	struct image_writer *writer; /* guarded by lock */
	struct buffer rows;          /* of struct row; guarded by lock */
	struct buffer headers;       /* of struct row; guarded by lock */
	struct buffer scripts; /* of char *, names of #!python scripts; guarded by lock */
};

static int split(struct unpack *u)
{
	const struct zip *zip = &u->wheel->zip;
	u->starts = calloc((size_t)zip->count + 2, sizeof(*u->starts));
	if (!u->starts)
		return -ENOMEM;
	uint64_t size = 0;
	for (uint32_t i = 0; i < zip->count; i++) {
		if (i == 0 || size >= RANGE_SIZE) {
			u->starts[u->ranges++] = i;
			size = 0;
		}
		size += zip->members[i].packed;
	}
	u->starts[u->ranges] = zip->count;
	return 0;
}

int unpack_new(struct store *store, struct wheel *wheel, struct unpack **ret)
{
	CLEANUP(unpack_freep) struct unpack *u = calloc(1, sizeof(*u));
	if (!u || pthread_mutex_init(&u->lock, NULL) != 0)
		return -ENOMEM;
	u->wheel = wheel;
	normalise_name(wheel->name.distribution, u->name, sizeof(u->name));
	int r = split(u);
	if (r == 0)
		r = image_writer_new(store, &u->writer);
	if (r < 0)
		return r;
	*ret = steal_ptr(u);
	return 0;
}

static void free_rows(struct buffer *rows)
{
	for (size_t at = 0; at < rows->size; at += sizeof(struct row)) {
		struct row row;
		memcpy(&row, rows->data + at, sizeof(row));
		free(row.path);
	}
	buffer_release(rows);
}

void unpack_free(struct unpack *u)
{
	if (!u)
		return;
	for (size_t at = 0; at < u->scripts.size; at += sizeof(char *)) {
		char *name;
		memcpy(&name, u->scripts.data + at, sizeof(name));
		free(name);
	}
	free_rows(&u->rows);
	free_rows(&u->headers);
	buffer_release(&u->scripts);
	image_writer_free(u->writer);
	(void)pthread_mutex_destroy(&u->lock);
	free(u->starts);
	free(u);
}

uint32_t unpack_ranges(const struct unpack *u)
{
	return u->ranges;
}

static int add_row(struct buffer *rows, const char *prefix, const char *path,
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

/* A member on its way into the image. */
struct file {
	const struct zip_member *member;
	enum wheel_tree tree;
	const char *path; /* within the tree */
	bool is_python_script;
	char image_path[LONGEST_PATH];
};

static bool is_python_script(const struct file *f, const void *bytes, size_t size)
{
	return f->tree == TREE_SCRIPT && size >= 8 && memcmp(bytes, "#!python", 8) == 0;
}

static void set_image_path(const struct unpack *u, struct file *f)
{
	const char *prefix = "site-packages";
	if (f->tree == TREE_ROOT)
		prefix = "root";
	else if (f->tree == TREE_SCRIPT)
		prefix = f->is_python_script ? "scripts" : "root/bin";
	if (f->tree == TREE_INCLUDE)
		(void)snprintf(f->image_path, sizeof(f->image_path), "include/%s/%s",
			       u->name, f->path);
	else
		(void)snprintf(f->image_path, sizeof(f->image_path), "%s/%s", prefix,
			       f->path);
	size_t size = strlen(f->image_path);
	if (size > 0 && f->image_path[size - 1] == '/')
		f->image_path[size - 1] = '\0';
}

/* What the installed RECORD will say of it. Under the lock. */
static int note_row_locked(struct unpack *u, const struct file *f,
			   const struct sha256 *sha256)
{
	uint64_t size = f->member->size;
	char prefix[300];
	if (f->is_python_script) {
		char *name = strdup(f->path);
		int r = name ? buffer_append(&u->scripts, &name, sizeof(name)) : -ENOMEM;
		if (r < 0)
			free(name);
		return r;
	}
	if (f->tree == TREE_SITE)
		return add_row(&u->rows, "", f->path, sha256, size);
	if (f->tree == TREE_INCLUDE) {
		(void)snprintf(prefix, sizeof(prefix), "%s/", u->name);
		return add_row(&u->headers, prefix, f->path, sha256, size);
	}
	return add_row(&u->rows, f->tree == TREE_SCRIPT ? "../../../bin/" : "../../../",
		       f->path, sha256, size);
}

static struct item item_of(const struct file *f)
{
	bool executable = f->member->is_executable || f->tree == TREE_SCRIPT;
	return (struct item){ .path = f->image_path,
			      .type = ENTRY_FILE,
			      .mode = executable ? 0755 : 0644 };
}

static int place_error(const struct file *f, int code, struct error *reterr)
{
	if (code == -EEXIST || code == -ENOTDIR)
		return error_set(reterr, -EBADMSG,
				 "'%s' would be installed where another of its files is",
				 f->member->name);
	if (code == -EINVAL)
		return error_set(reterr, -EBADMSG,
				 "'%s' is larger or smaller than it says",
				 f->member->name);
	return error_errno(reterr, code, "cannot write to the cache");
}

static int check_hash(const struct unpack *u, const struct file *f,
		      const struct sha256 *sha256, struct error *reterr)
{
	const struct record_row *row = record_find(&u->wheel->record, f->member->name);
	if (row && row->has_hash && memcmp(&row->sha256, sha256, sizeof(*sha256)) != 0)
		return error_set(reterr, -EBADMSG, "RECORD has another sha256 of '%s'",
				 f->member->name);
	return 0;
}

static int add_whole(struct unpack *u, struct file *f, const struct buffer *bytes,
		     const struct sha256 *sha256, struct error *reterr)
{
	f->is_python_script = is_python_script(f, bytes->data, bytes->size);
	set_image_path(u, f);
	struct item item = item_of(f);
	(void)pthread_mutex_lock(&u->lock);
	int r = image_writer_begin_file(u->writer, &item, bytes->size);
	if (r == 0 && bytes->size > 0)
		r = image_writer_write(u->writer, bytes->data, bytes->size);
	if (r == 0)
		r = image_writer_end_file(u->writer, sha256);
	if (r == 0)
		r = note_row_locked(u, f, sha256);
	(void)pthread_mutex_unlock(&u->lock);
	return r < 0 ? place_error(f, r, reterr) : 0;
}

/* Reads to the member's end; `bytes` may be NULL for one that nobody keeps. */
static int read_whole(struct archive_reader *reader, const struct zip_member *m,
		      struct sha256_stream *hash, struct buffer *bytes,
		      struct error *reterr)
{
	uint64_t total = 0;
	for (;;) {
		const void *block;
		size_t size;
		int r = archive_read(reader, &block, &size, reterr);
		if (r < 0)
			return r;
		if (size == 0)
			break;
		total += size;
		sha256_stream_add(hash, block, size);
		if (bytes && total <= m->size)
			r = buffer_append(bytes, block, size);
		if (r < 0)
			return r;
		if (total > m->size)
			break;
	}
	if (total != m->size)
		return error_set(reterr, -EBADMSG,
				 "'%s' is larger or smaller than it says", m->name);
	return 0;
}

static int stream_blocks_locked(struct unpack *u, struct archive_reader *reader,
				struct sha256_stream *hash, struct file *f,
				struct error *reterr)
{
	struct item item = item_of(f);
	int r = image_writer_begin_file(u->writer, &item, f->member->size);
	while (r == 0) {
		const void *block;
		size_t size;
		r = archive_read(reader, &block, &size, reterr);
		if (r < 0)
			return r;
		if (size == 0)
			break;
		sha256_stream_add(hash, block, size);
		r = image_writer_write(u->writer, block, size);
	}
	struct sha256 sha256 = sha256_stream_end(hash);
	if (r == 0)
		r = image_writer_end_file(u->writer, &sha256);
	if (r == 0)
		r = note_row_locked(u, f, &sha256);
	return r < 0 ? place_error(f, r, reterr) : check_hash(u, f, &sha256, reterr);
}

/* One too large for memory goes through block by block, while others wait. */
static int add_streaming(struct unpack *u, struct archive_reader *reader,
			 struct sha256_stream *hash, struct file *f, struct error *reterr)
{
	set_image_path(u, f);
	(void)pthread_mutex_lock(&u->lock);
	int r = stream_blocks_locked(u, reader, hash, f, reterr);
	(void)pthread_mutex_unlock(&u->lock);
	return r;
}

static int add_directory(struct unpack *u, struct file *f, struct error *reterr)
{
	if (f->tree != TREE_SITE)
		return 0;
	set_image_path(u, f);
	struct item item = { .path = f->image_path,
			     .type = ENTRY_DIRECTORY,
			     .mode = 0755 };
	(void)pthread_mutex_lock(&u->lock);
	int r = image_writer_add(u->writer, &item);
	(void)pthread_mutex_unlock(&u->lock);
	return r < 0 ? place_error(f, r, reterr) : 0;
}

static int add_member(struct unpack *u, struct archive_reader *reader,
		      struct sha256_stream *hash, const struct zip_member *m,
		      struct error *reterr)
{
	struct file f = { .member = m };
	int r = wheel_place(u->wheel, m, &f.tree, &f.path, reterr);
	if (r < 0)
		return r;
	if (m->is_directory)
		return add_directory(u, &f, reterr);
	if (m->size > IN_MEMORY && f.tree != TREE_NOWHERE)
		return add_streaming(u, reader, hash, &f, reterr);
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	r = buffer_reserve(&bytes, f.tree == TREE_NOWHERE ? 0 : (size_t)m->size);
	if (r == 0)
		r = read_whole(reader, m, hash, f.tree == TREE_NOWHERE ? NULL : &bytes,
			       reterr);
	struct sha256 sha256 = sha256_stream_end(hash);
	if (r == 0)
		r = check_hash(u, &f, &sha256, reterr);
	if (r < 0 || f.tree == TREE_NOWHERE)
		return r;
	return add_whole(u, &f, &bytes, &sha256, reterr);
}

int unpack_range(struct unpack *u, uint32_t range, struct error *reterr)
{
	const struct zip_member *members = u->wheel->zip.members;
	uint32_t first = u->starts[range];
	uint32_t end = u->starts[range + 1];
	CLEANUP(archive_reader_freep) struct archive_reader *reader = NULL;
	CLEANUP(sha256_stream_freep) struct sha256_stream *hash = sha256_stream_new();
	if (!hash)
		return -ENOMEM;
	int r = archive_open(u->wheel->fd, members[first].header, members[end - 1].end,
			     &reader, reterr);
	for (uint32_t i = first; r >= 0 && i < end; i++) {
		const char *name;
		r = archive_next(reader, &name, reterr);
		/* Both must read the same file, or one of them was led astray. */
		if (r == 0 || (r > 0 && strcmp(name, members[i].name) != 0))
			return error_set(reterr, -EBADMSG,
					 "member '%s' is not where it should be",
					 members[i].name);
		if (r > 0)
			r = add_member(u, reader, hash, &members[i], reterr);
	}
	return r < 0 ? r : 0;
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
		     : add_row(&u->rows, "", path + strlen("site-packages/"), &sha256,
			       strlen(text));
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
	for (unsigned n = 0;
	     r == 0 && header_value((const char *)w->info.data, w->info.size, "Tag", n,
				    value, sizeof(value));
	     n++)
		r = add_text_info(u, INFO_TAG, value);
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
