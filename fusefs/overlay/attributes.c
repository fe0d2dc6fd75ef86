#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
	SET_TIMES = SET_ATIME | SET_MTIME | SET_ATIME_NOW | SET_MTIME_NOW,
	SET_OWNER = SET_UID | SET_GID | SET_TOUCH,
};

struct setting {
	struct overlay *o;
	const struct caller *caller;
	uint64_t node;
	unsigned flags;
	const struct stat *st;
};

/* The last bytes of a block that was cut must read as zeros: the disk below does that. */
static int set_size(const struct setting *s)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	if (s->st->st_size < 0)
		return -EINVAL;
	int r = content_take(s->o, s->node, (uint64_t)s->st->st_size, &content);
	if (r == 0)
		r = privileges_drop(s->o, s->caller, s->node);
	if (r < 0)
		return r;
	r = ftruncate(content.fd, s->st->st_size) < 0 ? -errno : 0;
	if (r == -ENOSPC && upper_reap_now(s->o->options.upper))
		r = ftruncate(content.fd, s->st->st_size) < 0 ? -errno : 0;
	return r;
}

static struct timespec pick_time(unsigned flags, unsigned set, unsigned now,
				 const struct timespec *given)
{
	if (flags & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return flags & set ? *given : (struct timespec){ .tv_nsec = UTIME_OMIT };
}

/* 0, or -ENOENT when the row has to hold them. */
static int set_content_times(const struct setting *s)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	struct found f;
	int r = content_find(s->o, s->node, &content, &f);
	if (r == -EISDIR || r == -EINVAL)
		return -ENOENT;
	if (r < 0)
		return r;
	const struct timespec times[] = {
		pick_time(s->flags, SET_ATIME, SET_ATIME_NOW, &s->st->st_atim),
		pick_time(s->flags, SET_MTIME, SET_MTIME_NOW, &s->st->st_mtim),
	};
	return futimens(content.fd, times) < 0 ? -errno : 0;
}

static void apply_times(const struct setting *s, const struct timespec *now,
			struct upper_node *row)
{
	if (s->flags & SET_ATIME_NOW)
		row->atime = *now;
	else if (s->flags & SET_ATIME)
		row->atime = s->st->st_atim;
	if (s->flags & SET_MTIME_NOW)
		row->mtime = *now;
	else if (s->flags & SET_MTIME)
		row->mtime = s->st->st_mtim;
}

/* chown(2) takes the set-id bits of what can be run, whoever calls it. */
static void drop_set_id(struct upper_node *row)
{
	if (S_ISDIR(row->mode))
		return;
	row->mode &= ~(mode_t)S_ISUID;
	if (row->mode & S_IXGRP)
		row->mode &= ~(mode_t)S_ISGID;
}

static int apply(const struct setting *s, struct found *f)
{
	struct upper_node *row = &f->row;
	struct stat st;
	int r = node_stat(s->o, f, &st);
	if (r < 0)
		return r;
	struct timespec now = overlay_now_after(&st.st_ctim);
	/*
	 * The kernel asks for SET_TOUCH before a write by anybody, too; a write says for
	 * itself when bits shall go.
	 */
	bool may =
	    s->flags != SET_TOUCH || s->caller->uid == 0 || s->caller->uid == row->uid;
	if ((s->flags & SET_OWNER) && may)
		drop_set_id(row);
	if (s->flags & SET_UID)
		row->uid = s->st->st_uid;
	if (s->flags & SET_GID)
		row->gid = s->st->st_gid;
	if (s->flags & SET_MODE)
		row->mode = (row->mode & S_IFMT) | (s->st->st_mode & 07777u);
	apply_times(s, &now, row);
	row->ctime = now;
	return upper_update_node(s->o->options.upper, row);
}

static int set_row(const struct setting *s)
{
	struct upper_reader *reader;
	struct found f;
	int r = change_begin(s->o, false, &reader);
	if (r < 0)
		return r;
	r = node_find(s->o, reader, s->node, &f);
	if (r == 0)
		r = node_take(s->o, reader, &f, true);
	if (r == 0)
		r = apply(s, &f);
	r = change_end(s->o, NULL, r, 0);
	if (r == 0)
		overlay_release(s->o);
	return r == -ENOENT ? -ESTALE : r;
}

int overlay_set(struct overlay *o, const struct caller *caller, uint64_t node,
		unsigned flags, const struct stat *st, struct stat *ret)
{
	struct setting s = { o, caller, node, flags, st };
	if (!o->options.upper)
		return -EROFS;
	int r = flags & SET_SIZE ? set_size(&s) : 0;
	s.flags &= ~(unsigned)SET_SIZE;
	if (r == 0 && (s.flags & SET_TIMES)) {
		r = set_content_times(&s);
		if (r == 0)
			s.flags &= ~(unsigned)SET_TIMES;
		else if (r == -ENOENT)
			r = 0;
	}
	if (r == 0 && s.flags)
		r = set_row(&s);
	return r < 0 ? r : overlay_stat(o, node, ret);
}
