#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <string.h>

/*
 * Two streams in the order of cookies become one: the lower names, and the rows, which
 * come either with the cookie of the lower name that they cover or with one behind all of
 * those. So a listing needs no state, and going on from a cookie misses nothing and shows
 * nothing twice, whatever came and went in between.
 */
struct merge {
	struct overlay *o;
	struct upper_reader *reader;
	overlay_visit *visit;
	void *context;
	bool full;
	bool has_row; /* the next row of the stream is in these */
	struct upper_dentry dentry;
	struct upper_node node;
};

static int next_row(struct merge *m)
{
	int r = upper_list_next(m->reader, &m->dentry, &m->node);
	m->has_row = r == 1;
	return r < 0 ? r : 0;
}

/* Shows the row at hand, unless it says that there is nothing, and goes on. */
static int show_row(struct merge *m)
{
	int r = 0;
	if (m->dentry.node != 0) {
		struct overlay_child child = { .name = m->dentry.name,
					       .name_size = m->dentry.name_size,
					       .cookie = m->dentry.cookie };
		struct found f = { .id = m->node.id, .has_row = true, .row = m->node };
		child.st.st_ino = f.id;
		child.st.st_mode = f.row.mode;
		if (m->full)
			r = node_stat(m->o, &f, &child.st);
		if (r == 0)
			r = m->visit(m->context, &child);
	}
	return r != 0 ? r : next_row(m);
}

/* A file of several names may have been changed through another one of them. */
static int add_row_of_links(struct merge *m, uint64_t node, struct stat *st)
{
	struct found f = { .id = node, .has_row = true };
	struct upper *upper = m->o->options.upper;
	if (st->st_nlink < 2 || !upper || !upper_may_have(upper, node))
		return 0;
	if (!m->reader)
		m->reader = upper_read_list(upper);
	int r = upper_find_node(m->reader, node, &f.row);
	return r == 0 ? node_stat(m->o, &f, st) : (r == -ENOENT ? 0 : r);
}

static int show_lower(void *context, const struct node *lower, uint64_t cookie)
{
	struct merge *m = context;
	int r = 0;
	while (r == 0 && m->has_row && m->dentry.cookie < cookie)
		r = show_row(m);
	if (r != 0)
		return r;
	if (m->has_row && m->dentry.cookie == cookie)
		return show_row(m);
	struct overlay_child child = { .name = lower->entry.name,
				       .name_size = lower->entry.name_size,
				       .cookie = cookie };
	tree_stat(m->o->options.tree, lower, &child.st);
	if (m->full)
		r = add_row_of_links(m, lower->id, &child.st);
	return r < 0 ? r : m->visit(m->context, &child);
}

static int merge_all(struct merge *m, uint64_t dir, uint64_t after)
{
	bool has_lower;
	int r = node_has_lower_names(m->o, m->reader, dir, &has_lower);
	if (r == 0)
		r = upper_list_start(m->reader, dir, after);
	if (r == 0)
		r = next_row(m);
	if (r == 0 && has_lower)
		r = tree_list(m->o->options.tree, dir, after, show_lower, m);
	while (r == 0 && m->has_row)
		r = show_row(m);
	return r;
}

static int stop_at_first(void *context, const struct overlay_child *child)
{
	(void)context;
	(void)child;
	return 1;
}

int directory_is_empty(struct overlay *o, struct upper_reader *r, uint64_t dir)
{
	struct merge m = { .o = o, .visit = stop_at_first };
	if (upper_may_have(o->options.upper, dir))
		m.reader = r;
	int code = merge_all(&m, dir, 0);
	upper_list_end(m.reader);
	return code == 1 ? -ENOTEMPTY : code;
}

int overlay_list(struct overlay *o, uint64_t dir, uint64_t after, bool full,
		 overlay_visit *visit, void *context)
{
	struct upper *upper = o->options.upper;
	struct merge m = { .o = o, .visit = visit, .context = context, .full = full };
	if (upper && upper_may_have(upper, dir))
		m.reader = upper_read_list(upper);
	int r = merge_all(&m, dir, after);
	if (upper)
		upper_read_end(upper, m.reader);
	return r;
}
