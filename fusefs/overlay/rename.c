#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>

/* All that a rename has in hand. */
struct renaming {
	struct overlay *o;
	struct upper_reader *reader;
	const struct overlay_rename *q;
	struct found_name from, to;
};

/* Would `node` come to lie below itself? */
static int check_loop(struct renaming *m, uint64_t node, uint64_t dir)
{
	struct climb climb = { .seen = 0 };
	while (dir != TREE_ROOT) {
		struct found f;
		if (dir == node)
			return -EINVAL;
		if (climb_is_round(&climb, dir))
			return -EBADMSG;
		int r = node_find(m->o, m->reader, dir, &f);
		if (r < 0)
			return r;
		uint64_t parent = f.has_row ? f.row.parent : 0;
		r = parent ? 0 : tree_parent(m->o->options.tree, dir, &parent);
		if (r < 0)
			return r;
		dir = parent;
	}
	return 0;
}

/* May what is at `to` be replaced by what is at `from`? */
static int check_target(struct renaming *m)
{
	const struct found *from = &m->from.node;
	const struct found *to = &m->to.node;
	bool directory = node_is_directory(from);
	if (m->q->flags & RENAME_EXCHANGE)
		return to->id == 0 ? -ENOENT : 0;
	if (to->id == 0)
		return 0;
	if (m->q->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (node_is_directory(to) != directory)
		return directory ? -ENOTDIR : -EISDIR;
	return directory ? directory_is_empty(m->o, m->reader, to->id) : 0;
}

static int check(struct renaming *m)
{
	if (m->from.node.id == 0)
		return -ENOENT;
	struct found dir;
	int r = parent_find(m->o, m->reader, m->to.dir, &dir);
	if (r == 0 && m->from.dir != m->to.dir && node_is_directory(&m->from.node))
		r = check_loop(m, m->from.node.id, m->to.dir);
	if (r == 0)
		r = check_target(m);
	if (r == 0 && (m->q->flags & RENAME_EXCHANGE) && m->from.dir != m->to.dir &&
	    node_is_directory(&m->to.node))
		r = check_loop(m, m->to.node.id, m->from.dir);
	return r;
}

/* The node gets a row with its new place. */
static int settle(struct renaming *m, struct found *f, uint64_t dir)
{
	int r = node_take(m->o, m->reader, f, false);
	if (r < 0)
		return r;
	f->row.ctime = overlay_now_after(&f->row.ctime);
	if (S_ISDIR(f->row.mode))
		f->row.parent = dir;
	return upper_update_node(m->o->options.upper, &f->row);
}

static int exchange(struct renaming *m)
{
	int r = settle(m, &m->from.node, m->to.dir);
	if (r == 0)
		r = settle(m, &m->to.node, m->from.dir);
	if (r == 0)
		r = name_put(m->o, &m->from, m->to.node.id);
	return r == 0 ? name_put(m->o, &m->to, m->from.node.id) : r;
}

static int move(struct renaming *m)
{
	int r = settle(m, &m->from.node, m->to.dir);
	if (r == 0 && m->to.node.id != 0)
		r = node_unlink(m->o, m->reader, &m->to.node);
	if (r == 0)
		r = name_put(m->o, &m->to, m->from.node.id);
	return r == 0 ? name_clear(m->o, &m->from, false) : r;
}

/* Looked up again: one of them may have been moved itself. */
static int touch(struct renaming *m, uint64_t dir, int subdirectories)
{
	struct found f;
	int r = node_find(m->o, m->reader, dir, &f);
	return r == 0 ? directory_touch(m->o, m->reader, &f, subdirectories) : r;
}

static int touch_parents(struct renaming *m)
{
	int from = node_is_directory(&m->from.node);
	int to = m->to.node.id != 0 && node_is_directory(&m->to.node);
	/* What is replaced is gone; what is exchanged comes to the other side. */
	int gained = m->q->flags & RENAME_EXCHANGE ? to : 0;
	if (m->from.dir == m->to.dir)
		return touch(m, m->from.dir, gained - to);
	int r = touch(m, m->from.dir, gained - from);
	return r == 0 ? touch(m, m->to.dir, from - to) : r;
}

static int run(struct renaming *m)
{
	int r = check(m);
	if (r == 0)
		r = m->q->flags & RENAME_EXCHANGE ? exchange(m) : move(m);
	return r == 0 ? touch_parents(m) : r;
}

static int find(struct renaming *m)
{
	int r = name_find(m->o, m->reader, m->q->from_dir, m->q->from, &m->from);
	return r == 0 ? name_find(m->o, m->reader, m->q->to_dir, m->q->to, &m->to) : r;
}

/*
 * What is replaced must after a power cut be the old or the new: the new content is on
 * disk before the name can be. Before the lock, as it may take long.
 */
static int sync_replacement(struct overlay *o, const struct overlay_rename *q)
{
	struct renaming m = { .o = o, .q = q };
	if (!o->options.upper)
		return 0;
	m.reader = upper_read(o->options.upper);
	/* Mostly there is nothing to replace. */
	int r = name_find(o, m.reader, q->to_dir, q->to, &m.to);
	if (r == 0 && m.to.node.id != 0)
		r = name_find(o, m.reader, q->from_dir, q->from, &m.from);
	upper_read_end(o->options.upper, m.reader);
	if (r < 0 || m.to.node.id == 0 || m.from.node.id == 0 || !m.from.node.has_row ||
	    (q->flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
		return r;
	return node_is_file(&m.from.node)
		   ? content_sync(o->options.upper, m.from.node.id, true)
		   : 0;
}

int overlay_rename(struct overlay *o, const struct caller *caller,
		   const struct overlay_rename *q)
{
	struct renaming m = { .o = o, .q = q };
	uint64_t ignored;
	if (q->flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	int r = name_check(q->to);
	if (r == 0)
		r = sync_replacement(o, q);
	if (r == 0)
		r = change_begin(o, false, &m.reader);
	if (r < 0 || change_was_done(o, caller, &ignored))
		return r;
	r = find(&m);
	/* Two names of one node: nothing is done. */
	bool same = r == 0 && m.from.node.id != 0 && m.from.node.id == m.to.node.id &&
		    !(q->flags & (RENAME_NOREPLACE | RENAME_EXCHANGE));
	if (r == 0 && !same)
		r = run(&m);
	r = change_end(o, caller, r, 0);
	if (r == 0 && !same && !(q->flags & RENAME_EXCHANGE) && m.to.node.id != 0)
		node_orphan(o, &m.to.node);
	return r;
}
