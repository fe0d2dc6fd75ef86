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
	if (content_made_room(s->o, r))
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

static void apply_owner_and_mode(const struct setting *s, struct upper_node *row)
{
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
}

static int apply(const struct setting *s, struct found *f, struct stat *ret)
{
	struct upper_node *row = &f->row;
	int r = node_stat(s->o, f, ret);
	if (r < 0)
		return r;
	struct timespec now = overlay_now_after(&ret->st_ctim);
	apply_owner_and_mode(s, row);
	apply_times(s, &now, row);
	row->ctime = now;
	/* What content of its own says of size and times stands. */
	ret->st_mode = row->mode;
	ret->st_uid = row->uid;
	ret->st_gid = row->gid;
	ret->st_ctim = now;
	if (s->flags & SET_TIMES) {
		ret->st_atim = row->atime;
		ret->st_mtim = row->mtime;
	}
	return upper_update_node(s->o->options.upper, row);
}

static int set_row(const struct setting *s, struct stat *ret)
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
		r = apply(s, &f, ret);
	r = change_end(s->o, NULL, r, 0);
	if (r == 0)
		overlay_release(s->o);
	return r == -ENOENT ? -ESTALE : r;
}

static bool changes_row(const struct setting *s, const struct upper_node *row)
{
	struct upper_node after = *row;
	apply_owner_and_mode(s, &after);
	return after.mode != row->mode || after.uid != row->uid || after.gid != row->gid;
}

/*
 * What sets what is there already, as tar's chown does for each file, changes the ctime
 * alone. Of content of its own that is the file's, so no row is written. False: nothing
 * was done, or the time is no later than it was.
 */
static bool touch_content(const struct setting *s, struct stat *ret)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	struct upper *upper = s->o->options.upper;
	struct found f;
	if ((s->flags & SET_TIMES) || content_find(s->o, s->node, &content, &f) < 0)
		return false;
	struct upper_reader *reader = upper_read(upper);
	int r = node_find(s->o, reader, s->node, &f);
	upper_read_end(upper, reader);
	if (r < 0 || !f.has_row || changes_row(s, &f.row) || node_stat(s->o, &f, ret) < 0)
		return false;
	struct timespec before = ret->st_ctim;
	return fchmod(content.fd, 0600) == 0 && node_stat(s->o, &f, ret) == 0 &&
	       (ret->st_ctim.tv_sec != before.tv_sec ||
		ret->st_ctim.tv_nsec != before.tv_nsec);
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
		return touch_content(&s, ret) ? 0 : set_row(&s, ret);
	return r < 0 ? r : overlay_stat(o, node, ret);
}
