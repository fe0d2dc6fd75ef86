#include "fusefs/overlay/overlay_private.h"

#include "cache/base/bytes.h"
#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * Copy-up: a lower file gets content of its own. The copy is made aside, checked against
 * the sums of its blocks, synced and renamed; then the row says that it counts. Until
 * then everybody reads the lower file, and when something fails nothing is left. The
 * writer's lock is held for the row only, so a large file stops nobody but who writes to
 * it.
 */

static pthread_mutex_t *copy_lock(struct overlay *o, uint64_t node)
{
	return &o->copying[(node * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

void overlay_blocking(struct overlay *o, bool begins)
{
	if (o->options.on_blocking)
		o->options.on_blocking(o->options.context, begins);
}

int content_find(struct overlay *o, uint64_t node, struct content_ref *ret,
		 struct found *ret_found)
{
	struct upper *upper = o->options.upper;
	ret_found->id = 0;
	if (upper && (node & NODE_UPPER)) {
		int r = content_open(upper, node, ret);
		if (r != -ENOENT)
			return r;
	}
	struct upper_reader *reader =
	    upper && upper_may_have(upper, node) ? upper_read(upper) : NULL;
	int r = node_find(o, reader, node, ret_found);
	if (upper)
		upper_read_end(upper, reader);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (!node_is_file(ret_found))
		return node_is_directory(ret_found) ? -EISDIR : -EINVAL;
	if (!ret_found->has_row || !(ret_found->row.flags & NODE_CONTENT))
		return -ENOENT;
	/* The row says that there is some: what was cut to nothing is not flushed, so a
	 * power cut may have taken it. */
	r = content_open(upper, node, ret);
	ret_found->is_cut =
	    r == -ENOENT && !(node & NODE_UPPER) && ret_found->row.size == 0;
	if (r == -ENOENT && !ret_found->is_cut)
		return node & NODE_UPPER ? -EBADMSG : -EIO;
	return r;
}

/* Whole lower files by reflink where the disk can, once they were read and found right.
 */
int content_copy_lower(const struct node *lower, uint64_t keep, int fd)
{
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(COPY_CHUNK));
	const struct entry *e = &lower->entry;
	bool shared = false;
	if (!scratch)
		return -ENOMEM;
	if (e->in_object && keep == e->size) {
		cleanup_fd int object = image_open_object(lower->image, e);
		shared = object >= 0 && ioctl(fd, FICLONE, object) == 0;
	}
	for (uint64_t at = 0; at < keep;) {
		struct image_bytes bytes;
		size_t size = keep - at < COPY_CHUNK ? (size_t)(keep - at) : COPY_CHUNK;
		int r = image_read(lower->image, e, at, size, scratch, &bytes);
		if (r == 0 && bytes.size == 0)
			return -EIO;
		if (r == 0 && !shared && !bytes_are_zero(bytes.data, bytes.size))
			r = file_pwrite_all(fd, bytes.data, bytes.size, at);
		if (r < 0)
			return r;
		at += bytes.size;
	}
	/* Zeros were left out. */
	return ftruncate(fd, (off_t)keep) < 0 ? -errno : 0;
}

static int set_times(int fd, const struct timespec *atime, const struct timespec *mtime)
{
	const struct timespec times[] = { *atime, *mtime };
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int fill_staged(struct overlay *o, const struct found *f, uint64_t keep)
{
	struct upper_node row = f->row;
	cleanup_fd int fd = content_stage(o->options.upper, f->id);
	int r = fd < 0 ? fd : (f->has_row ? 0 : node_as_row(o, f, &row));
	if (r == 0)
		r = content_copy_lower(&f->lower, keep, fd);
	if (r == 0)
		r = set_times(fd, &row.atime, &row.mtime);
	/* What was cut to nothing may be lost in a power cut, as on any disk. */
	return r == 0 ? content_publish(o->options.upper, f->id, fd, keep > 0) : r;
}

/* From now on the content counts. */
static int note_content(struct overlay *o, uint64_t node, uint64_t size)
{
	struct upper_reader *reader;
	struct found f;
	int r = change_begin(o, true, &reader);
	if (r < 0)
		return r;
	r = node_find(o, reader, node, &f);
	if (r == 0)
		r = node_take(o, reader, &f, true);
	if (r == 0) {
		f.row.flags |= NODE_CONTENT;
		f.row.size = size;
		r = upper_update_node(o->options.upper, &f.row);
	}
	r = change_end(o, NULL, r, 0);
	if (r == 0)
		overlay_release(o);
	return r;
}

/* A copy that does not count would take room until a power cut. */
static int note_published(struct overlay *o, uint64_t node, uint64_t size)
{
	int r = note_content(o, node, size);
	if (r < 0)
		(void)content_remove(o->options.upper, node);
	return r;
}

bool content_made_room(struct overlay *o, ssize_t r)
{
	return (r == -ENOSPC || r == -EDQUOT) && upper_reap_now(o->options.upper);
}

static int copy_up(struct overlay *o, const struct found *f, uint64_t keep)
{
	bool blocks = keep >= COPY_LONG;
	struct upper_reader *reader;
	/* The first change of all: there is no place for content before it. */
	if (!upper_has_rows(o->options.upper)) {
		int code = change_begin(o, true, &reader);
		if (code < 0)
			return code;
		code = upper_begin_rows(o->options.upper);
		overlay_release(o);
		if (code < 0)
			return code;
	}
	if (blocks)
		overlay_blocking(o, true);
	int r = fill_staged(o, f, keep);
	if (r < 0)
		content_drop(o->options.upper, f->id);
	else
		r = note_published(o, f->id, keep);
	if (blocks)
		overlay_blocking(o, false);
	return r;
}

/* A new file's first content. It has the times that were set on it so far. */
static int make_first(struct overlay *o, const struct found *f, struct content_ref *ret)
{
	struct stat st;
	bool made;
	int r = content_make(o->options.upper, f->id, ret, &made);
	if (r == 0 && made)
		r = set_times(ret->fd, &f->row.atime, &f->row.mtime);
	/* A time that was looked at is not given again to the next change. */
	if (r == 0 && made)
		(void)fstat(ret->fd, &st);
	if (r < 0 && made)
		content_put(ret);
	return r;
}

/* `found` is what it was before the lock was had: a new node's can only have been made.
 */
static int take_locked(struct overlay *o, const struct found *found, uint64_t keep,
		       struct content_ref *ret)
{
	uint64_t node = found->id;
	struct found f;
	if (node & NODE_UPPER)
		return make_first(o, found, ret);
	int r = content_find(o, node, ret, &f);
	if (r != -ENOENT)
		return r;
	if (f.is_cut)
		return make_first(o, &f, ret);
	if (!f.has_lower)
		return -EIO;
	if (keep > f.lower.entry.size)
		keep = f.lower.entry.size;
	r = copy_up(o, &f, keep);
	if (content_made_room(o, r))
		r = copy_up(o, &f, keep);
	return r == 0 ? content_open(o->options.upper, node, ret) : r;
}

int content_take(struct overlay *o, uint64_t node, uint64_t keep, struct content_ref *ret)
{
	struct found f;
	if (!o->options.upper)
		return -EROFS;
	int r = content_find(o, node, ret, &f);
	if (r != -ENOENT)
		return r;
	/* Who waits for a copy-up of the same node is kept as long as it takes. */
	bool waits = pthread_mutex_trylock(copy_lock(o, node)) != 0;
	if (waits) {
		overlay_blocking(o, true);
		(void)pthread_mutex_lock(copy_lock(o, node));
	}
	r = take_locked(o, &f, keep, ret);
	(void)pthread_mutex_unlock(copy_lock(o, node));
	if (waits)
		overlay_blocking(o, false);
	return r;
}

int privileges_drop(struct overlay *o, const struct caller *caller, uint64_t node)
{
	struct upper_reader *reader;
	struct found f;
	if (!caller->kill_privileges)
		return 0;
	struct upper *upper = o->options.upper;
	reader = upper_read(upper);
	int r = node_find(o, reader, node, &f);
	upper_read_end(upper, reader);
	if (r < 0 || !f.has_row)
		return r;
	mode_t mode = f.row.mode & ~(mode_t)S_ISUID;
	/* As setattr_should_drop_sgid() of the kernel, which knows all groups of a
	 * caller. */
	bool in_group = caller->uid == 0 || caller->gid == f.row.gid;
	if ((mode & S_IXGRP) || !in_group)
		mode &= ~(mode_t)S_ISGID;
	if (mode == f.row.mode)
		return 0;
	r = change_begin(o, false, &reader);
	if (r < 0)
		return r;
	r = node_find(o, reader, node, &f);
	if (r == 0) {
		f.row.mode &= mode | ~(mode_t)(S_ISUID | S_ISGID);
		r = upper_update_node(upper, &f.row);
	}
	r = change_end(o, NULL, r, 0);
	if (r == 0)
		overlay_release(o);
	return r;
}
