#include "fusefs/overlay/overlay_private.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int read_content(const struct content_ref *content, uint64_t offset, size_t size,
			void *scratch, struct image_bytes *ret)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = pread(content->fd, (char *)scratch + done, size - done,
				  (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret = (struct image_bytes){ .data = scratch, .size = done };
	return 0;
}

int overlay_read(struct overlay *o, uint64_t node, uint64_t offset, size_t size,
		 void *scratch, struct image_bytes *ret)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	struct found f;
	int r = content_find(o, node, &content, &f);
	if (r == 0)
		return read_content(&content, offset, size, scratch, ret);
	if (r != -ENOENT)
		return r;
	if (f.has_lower && !f.is_cut)
		return image_read(f.lower.image, &f.lower.entry, offset, size, scratch,
				  ret);
	/* A new file is empty; one whose layer is gone must not seem to be. */
	*ret = (struct image_bytes){ .data = scratch };
	return (node & NODE_UPPER) || f.is_cut ? 0 : -EIO;
}

ssize_t overlay_write(struct overlay *o, const struct caller *caller, uint64_t node,
		      uint64_t offset, const void *bytes, size_t size)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	int r = content_take(o, node, UINT64_MAX, &content);
	if (r == 0)
		r = privileges_drop(o, caller, node);
	if (r < 0)
		return r;
	ssize_t n = file_pwrite_some(content.fd, bytes, size, offset);
	return content_made_room(o, n) ? file_pwrite_some(content.fd, bytes, size, offset)
				       : n;
}

/* From content that may still be the lower's, through memory. */
static ssize_t copy_through(struct overlay *o, const struct overlay_copy *c, int to)
{
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(COPY_CHUNK));
	uint64_t done = 0;
	uint64_t most = c->size < COPY_MOST ? c->size : COPY_MOST;
	if (!scratch)
		return -ENOMEM;
	while (done < most) {
		struct image_bytes bytes;
		uint64_t rest = most - done;
		size_t size = rest < COPY_CHUNK ? (size_t)rest : COPY_CHUNK;
		int r = overlay_read(o, c->from, c->from_offset + done, size, scratch,
				     &bytes);
		if (r == 0)
			r = file_pwrite_all(to, bytes.data, bytes.size,
					    c->to_offset + done);
		if (r < 0)
			return done > 0 ? (ssize_t)done : r;
		if (bytes.size == 0)
			break;
		done += bytes.size;
	}
	return (ssize_t)done;
}

static ssize_t copy_some(const struct overlay_copy *c, int from, int to)
{
	off_t in = (off_t)c->from_offset;
	off_t out = (off_t)c->to_offset;
	uint64_t size = c->size < COPY_MOST ? c->size : COPY_MOST;
	ssize_t n = copy_file_range(from, &in, to, &out, size, 0);
	return n < 0 ? -errno : n;
}

/* Nobody asks for no more than there is. */
static bool copies_much(const struct overlay_copy *c, int from)
{
	struct stat st;
	return c->size >= COPY_LONG && fstat(from, &st) == 0 &&
	       (uint64_t)st.st_size >= c->from_offset + COPY_LONG;
}

static ssize_t copy_content(struct overlay *o, const struct overlay_copy *c, int from,
			    int to)
{
	bool blocks = copies_much(c, from);
	if (blocks)
		overlay_blocking(o, true);
	ssize_t n = copy_some(c, from, to);
	if (content_made_room(o, n))
		n = copy_some(c, from, to);
	if (blocks)
		overlay_blocking(o, false);
	return n;
}

ssize_t overlay_copy(struct overlay *o, const struct caller *caller,
		     const struct overlay_copy *c)
{
	cleanup_content struct content_ref from = CONTENT_NONE;
	cleanup_content struct content_ref to = CONTENT_NONE;
	struct found f;
	int r = content_take(o, c->to, UINT64_MAX, &to);
	if (r == 0)
		r = privileges_drop(o, caller, c->to);
	if (r < 0)
		return r;
	r = content_find(o, c->from, &from, &f);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r == -ENOENT) {
		overlay_blocking(o, true);
		ssize_t copied = copy_through(o, c, to.fd);
		if (content_made_room(o, copied))
			copied = copy_through(o, c, to.fd);
		overlay_blocking(o, false);
		return copied;
	}
	return copy_content(o, c, from.fd, to.fd);
}

static int allocate(int fd, int mode, uint64_t offset, uint64_t size)
{
	int r;
	do {
		r = fallocate(fd, mode, (off_t)offset, (off_t)size) < 0 ? -errno : 0;
	} while (r == -EINTR);
	return r;
}

int overlay_allocate(struct overlay *o, const struct caller *caller, uint64_t node,
		     int mode, uint64_t offset, uint64_t size)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	int r = content_take(o, node, UINT64_MAX, &content);
	if (r == 0)
		r = privileges_drop(o, caller, node);
	if (r < 0)
		return r;
	r = allocate(content.fd, mode, offset, size);
	return content_made_room(o, r) ? allocate(content.fd, mode, offset, size) : r;
}

int overlay_seek(struct overlay *o, uint64_t node, uint64_t offset, int whence,
		 uint64_t *ret)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	struct found f;
	struct stat st;
	int r = content_find(o, node, &content, &f);
	if (r == 0) {
		off_t at = lseek(content.fd, (off_t)offset, whence);
		if (at < 0)
			return -errno;
		*ret = (uint64_t)at;
		return 0;
	}
	if (r == -ENOENT)
		r = node_stat(o, &f, &st);
	if (r < 0)
		return r;
	/* Data up to the end. */
	if (offset >= (uint64_t)st.st_size)
		return -ENXIO;
	*ret = whence == SEEK_HOLE ? (uint64_t)st.st_size : offset;
	return 0;
}

static int sync_node(struct overlay *o, uint64_t node, bool data_only)
{
	struct content_ref ref;
	struct found f;
	int r = content_find(o, node, &ref, &f);
	if (r == 0) {
		content_put(&ref);
		r = content_sync(o->options.upper, node, data_only);
	} else if (r == -ENOENT || r == -EISDIR || r == -EINVAL) {
		r = 0;
	}
	return r < 0 ? r : upper_sync(o->options.upper);
}

int overlay_sync(struct overlay *o, uint64_t node, bool data_only)
{
	if (!o->options.upper)
		return 0;
	overlay_blocking(o, true);
	int r = sync_node(o, node, data_only);
	overlay_blocking(o, false);
	return r;
}
