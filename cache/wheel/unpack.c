#include "cache/wheel/unpack.h"

#include "cache/wheel/unpack_private.h"
#include "cache/wheel/wheel_bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RANGE_SIZE = 4 << 20, /* packed bytes: enough work to be worth handing out */
	IN_MEMORY = 32 << 20, /* larger members stream into the writer */
	LONGEST_PATH = 4096,
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
		return unpack_add_row(&u->rows, "", f->path, sha256, size);
	if (f->tree == TREE_INCLUDE) {
		(void)snprintf(prefix, sizeof(prefix), "%s/", u->name);
		return unpack_add_row(&u->headers, prefix, f->path, sha256, size);
	}
	if (f->tree == TREE_SCRIPT)
		return unpack_add_row(&u->rows, "../../../bin/", f->path, sha256, size);
	/* site-packages are in lib/, too: the shortest way there, as pip and uv write it.
	 */
	bool in_lib = strncmp(f->path, "lib/", 4) == 0;
	return unpack_add_row(&u->rows, in_lib ? "../../" : "../../../",
			      in_lib ? f->path + 4 : f->path, sha256, size);
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

static int read_block(struct wheel_bytes *content, const struct zip_member *m,
		      const void **ret_block, size_t *ret_size, struct error *reterr)
{
	int r = wheel_bytes_read(content, ret_block, ret_size, reterr);
	return r < 0 ? error_prefix(reterr, r, "member '%s'", m->name) : 0;
}

/* Reads to the member's end; `bytes` may be NULL for one that nobody keeps. */
static int read_whole(struct wheel_bytes *content, const struct zip_member *m,
		      struct sha256_stream *hash, struct buffer *bytes,
		      struct error *reterr)
{
	uint64_t total = 0;
	for (;;) {
		const void *block;
		size_t size;
		int r = read_block(content, m, &block, &size, reterr);
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

static int stream_blocks_locked(struct unpack *u, struct wheel_bytes *content,
				struct sha256_stream *hash, struct file *f,
				struct error *reterr)
{
	struct item item = item_of(f);
	int r = image_writer_begin_file(u->writer, &item, f->member->size);
	while (r == 0) {
		const void *block;
		size_t size;
		r = read_block(content, f->member, &block, &size, reterr);
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
static int add_streaming(struct unpack *u, struct wheel_bytes *content,
			 struct sha256_stream *hash, struct file *f, struct error *reterr)
{
	set_image_path(u, f);
	(void)pthread_mutex_lock(&u->lock);
	int r = stream_blocks_locked(u, content, hash, f, reterr);
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

static int add_member(struct unpack *u, struct wheel_bytes *content,
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
		return add_streaming(u, content, hash, &f, reterr);
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	r = buffer_reserve(&bytes, f.tree == TREE_NOWHERE ? 0 : (size_t)m->size);
	if (r == 0)
		r = read_whole(content, m, hash, f.tree == TREE_NOWHERE ? NULL : &bytes,
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
	uint32_t first = u->starts[range];
	uint32_t end = u->starts[range + 1];
	CLEANUP(wheel_bytes_freep) struct wheel_bytes *content = NULL;
	CLEANUP(sha256_stream_freep) struct sha256_stream *hash = sha256_stream_new();
	if (!hash)
		return -ENOMEM;
	int r = wheel_bytes_open(u->wheel, first, end, &content, reterr);
	for (uint32_t i = first; r == 0 && i < end; i++) {
		r = wheel_bytes_next(content, reterr);
		if (r == 0)
			r = add_member(u, content, hash, &u->wheel->zip.members[i],
				       reterr);
	}
	return r;
}
