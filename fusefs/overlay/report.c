#include "fusefs/overlay/report.h"

#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Rows say where a node is, not under what path. So a first pass collects the rows of
 * directories, each with its own name and the directory that it is in, and a second one
 * puts paths together from those, and from the tree where there is no row.
 */
struct place_row {
	uint64_t node, parent;
	char *name;
};

struct report {
	struct overlay *o;
	struct upper_reader *reader;
	struct place_row *rows; /* sorted by node */
	size_t count, room;
	overlay_visit_change *visit;
	void *context;
};

const char *change_kind_name(enum change_kind kind)
{
	static const char *const names[] = { "added", "changed", "attributes", "moved",
					     "removed" };
	return names[kind];
}

static void release(struct report *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->rows[i].name);
	free(r->rows);
}

static int collect(void *context, const struct upper_dentry *d,
		   const struct upper_node *n)
{
	struct report *r = context;
	if (d->node == 0 || !S_ISDIR(n->mode))
		return 0;
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct place_row *grown = reallocarray(r->rows, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		r->rows = grown;
		r->room = room;
	}
	char *name = strndup(d->name, d->name_size);
	if (!name)
		return -ENOMEM;
	r->rows[r->count++] = (struct place_row){ d->node, d->parent, name };
	return 0;
}

static int compare_rows(const void *a, const void *b)
{
	const struct place_row *x = a;
	const struct place_row *y = b;
	return (x->node > y->node) - (x->node < y->node);
}

static const struct place_row *find_row(const struct report *r, uint64_t node)
{
	const struct place_row wanted = { .node = node };
	return r->count
		   ? bsearch(&wanted, r->rows, r->count, sizeof(wanted), compare_rows)
		   : NULL;
}

/*
 * Where a directory is and what it is called there. -ENOENT: nowhere, what lies in it is
 * not shown. *name is of the row, or in `room`.
 */
static int locate(struct report *r, uint64_t dir, uint64_t *ret_parent, char *room,
		  const char **ret_name)
{
	struct node lower;
	struct upper_dentry d;
	struct upper_node n;
	const struct place_row *row = find_row(r, dir);
	if (row) {
		*ret_parent = row->parent;
		*ret_name = row->name;
		return 0;
	}
	int code =
	    dir & NODE_UPPER ? -ENOENT : tree_node(r->o->options.tree, dir, &lower);
	if (code == 0)
		code = tree_parent(r->o->options.tree, dir, ret_parent);
	if (code < 0)
		return code;
	memcpy(room, lower.entry.name, lower.entry.name_size);
	room[lower.entry.name_size] = '\0';
	*ret_name = room;
	/* Without a row of its own it is there unless one says that it is not. */
	code = upper_find_dentry(r->reader, *ret_parent, room, strlen(room), &d, &n);
	return code == -ENOENT ? 0 : (code == 0 ? -ENOENT : code);
}

/* Puts "a/b/" of a directory before what `out` holds already. */
static int prepend_path(struct report *r, uint64_t dir, struct buffer *out)
{
	enum { DEEPEST = 4096 };
	for (int i = 0; dir != TREE_ROOT; i++) {
		char room[NAME_MOST + 1];
		const char *name;
		cleanup_buffer struct buffer longer = BUFFER_INIT;
		int code = i < DEEPEST ? locate(r, dir, &dir, room, &name) : -EBADMSG;
		if (code == 0)
			code = buffer_printf(&longer, "%s/", name);
		if (code == 0)
			code = buffer_append(&longer, out->data, out->size);
		if (code < 0)
			return code;
		struct buffer shorter = *out;
		*out = longer;
		longer = shorter;
	}
	return 0;
}

/* False for a directory that only got other names in it. */
static bool has_other_attributes(struct overlay *o, const struct upper_node *row)
{
	struct found f = { .id = row->id };
	struct stat st;
	if (!S_ISDIR(row->mode) || (row->flags & NODE_XATTRS))
		return true;
	if (tree_node(o->options.tree, row->id, &f.lower) < 0)
		return true;
	tree_stat(o->options.tree, &f.lower, &st);
	return st.st_mode != row->mode || st.st_uid != row->uid || st.st_gid != row->gid;
}

static bool kind_of(struct overlay *o, const struct upper_dentry *d,
		    const struct upper_node *n, enum change_kind *ret)
{
	bool over_lower = d->cookie < COOKIE_UPPER;
	if (d->node == 0) {
		*ret = CHANGE_REMOVED;
	} else if (d->node & NODE_UPPER) {
		*ret = over_lower ? CHANGE_CONTENT : CHANGE_ADDED;
	} else if (!d->pin) {
		*ret = CHANGE_MOVED;
	} else if (n->flags & NODE_CONTENT) {
		*ret = CHANGE_CONTENT;
	} else {
		*ret = CHANGE_ATTRIBUTES;
		return has_other_attributes(o, n);
	}
	return true;
}

static int64_t stamp_of(struct overlay *o, const struct upper_node *n)
{
	enum { NS = 1000000000 };
	struct stat st;
	if (n->id == 0 || !S_ISREG(n->mode) ||
	    content_stat(o->options.upper, n->id, &st) < 0)
		return 0;
	return (int64_t)st.st_ctim.tv_sec * NS + st.st_ctim.tv_nsec;
}

static int report(void *context, const struct upper_dentry *d, const struct upper_node *n)
{
	struct report *r = context;
	cleanup_buffer struct buffer path = BUFFER_INIT;
	struct overlay_change change = { .change = d->change };
	if (!kind_of(r->o, d, n, &change.kind))
		return 0;
	int code = buffer_append(&path, d->name, d->name_size);
	if (code == 0)
		code = prepend_path(r, d->parent, &path);
	if (code == -ENOENT)
		return 0;
	change.path = code == 0 ? buffer_cstr(&path) : NULL;
	if (!change.path)
		return code < 0 ? code : -ENOMEM;
	if (n->id != 0 && n->change > change.change)
		change.change = n->change;
	change.stamp = stamp_of(r->o, n);
	return r->visit(r->context, &change);
}

int overlay_changes(struct overlay *o, overlay_visit_change *visit, void *context)
{
	CLEANUP(release)
	struct report r = { .o = o, .visit = visit, .context = context };
	if (!o->options.upper)
		return 0;
	r.reader = upper_read_list(o->options.upper);
	int code = upper_each(r.reader, collect, &r);
	if (code == 0) {
		if (r.count > 0)
			qsort(r.rows, r.count, sizeof(*r.rows), compare_rows);
		code = upper_each(r.reader, report, &r);
	}
	upper_read_end(o->options.upper, r.reader);
	return code;
}
