#include "fusefs/overlay/report.h"

#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Rows say where a node is, not under what path. So a first pass collects the rows of
 * directories, each with its own name and the directory that it is in, and a second one
 * puts paths together from those, and from the tree where there is no row. A report comes
 * in pages: what the first pass has found is kept for the next one while nothing changes.
 */
struct place_row {
	uint64_t node, parent;
	char *name;
};

struct report {
	struct overlay *o;
	struct upper_reader *reader;
	overlay_visit_change *visit;
	void *context;
	uint64_t dir; /* whose path is known; 0: none's yet */
	bool shown;   /* it is somewhere */
	struct buffer path;
};

const char *change_kind_name(enum change_kind kind)
{
	static const char *const names[] = { "added", "changed", "attributes", "moved",
					     "removed" };
	return names[kind];
}

void places_release(struct places *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->rows[i].name);
	free(p->rows);
	p->rows = NULL;
	p->count = p->room = 0;
}

static int collect(void *context, const struct upper_dentry *d,
		   const struct upper_node *n)
{
	struct places *p = context;
	if (d->node == 0 || !S_ISDIR(n->mode))
		return 0;
	if (p->count == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct place_row *grown = reallocarray(p->rows, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		p->rows = grown;
		p->room = room;
	}
	char *name = strndup(d->name, d->name_size);
	if (!name)
		return -ENOMEM;
	p->rows[p->count++] = (struct place_row){ d->node, d->parent, name };
	return 0;
}

static int compare_rows(const void *a, const void *b)
{
	const struct place_row *x = a;
	const struct place_row *y = b;
	return (x->node > y->node) - (x->node < y->node);
}

/* Sorted by node. */
static int collect_places(struct places *p, struct upper_reader *reader, uint64_t change)
{
	if (p->rows && p->change == change)
		return 0;
	places_release(p);
	p->change = change;
	int r = upper_each(reader, collect, p);
	if (r < 0)
		places_release(p);
	else if (p->count > 0)
		qsort(p->rows, p->count, sizeof(*p->rows), compare_rows);
	return r;
}

static const struct place_row *find_row(const struct places *p, uint64_t node)
{
	const struct place_row wanted = { .node = node };
	return p->count
		   ? bsearch(&wanted, p->rows, p->count, sizeof(wanted), compare_rows)
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
	const struct place_row *row = find_row(&r->o->places, dir);
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

static void reverse(char *bytes, size_t size)
{
	for (size_t i = 0; i < size / 2; i++) {
		char other = bytes[size - 1 - i];
		bytes[size - 1 - i] = bytes[i];
		bytes[i] = other;
	}
}

/* "a/b/" of a directory, put together from its end. -ENOENT: it is nowhere. */
static int find_path(struct report *r, uint64_t dir)
{
	struct climb climb = { .seen = 0 };
	r->path.size = 0;
	while (dir != TREE_ROOT) {
		char room[NAME_MOST + 1];
		const char *name;
		int code = climb_is_round(&climb, dir)
			       ? -EBADMSG
			       : locate(r, dir, &dir, room, &name);
		if (code == 0)
			code = buffer_append(&r->path, "/", 1);
		size_t at = r->path.size;
		if (code == 0)
			code = buffer_append(&r->path, name, strlen(name));
		if (code < 0)
			return code;
		reverse((char *)r->path.data + at, r->path.size - at);
	}
	reverse((char *)r->path.data, r->path.size);
	return 0;
}

/* Rows of one directory come one after the other. */
static int enter(struct report *r, uint64_t dir)
{
	if (dir == r->dir)
		return r->shown ? 0 : -ENOENT;
	int code = find_path(r, dir);
	r->dir = code == 0 || code == -ENOENT ? dir : 0;
	r->shown = code == 0;
	return code;
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
	struct overlay_change change = { .change = d->change,
					 .place = { d->parent, d->name, d->name_size } };
	if (!kind_of(r->o, d, n, &change.kind))
		return 0;
	int code = enter(r, d->parent);
	if (code < 0)
		return code == -ENOENT ? 0 : code;
	size_t dir_size = r->path.size;
	code = buffer_append(&r->path, d->name, d->name_size);
	change.path = code == 0 ? buffer_cstr(&r->path) : NULL;
	if (n->id != 0 && n->change > change.change)
		change.change = n->change;
	change.stamp = stamp_of(r->o, n);
	code = change.path ? r->visit(r->context, &change) : -ENOMEM;
	r->path.size = dir_size;
	return code;
}

static int report_behind(struct report *r, const struct overlay_place *after)
{
	struct upper *upper = r->o->options.upper;
	uint64_t change = upper_last_change(upper);
	r->reader = upper_read_list(upper);
	int code = collect_places(&r->o->places, r->reader, change);
	if (code == 0 && after)
		code = upper_each_behind(r->reader, after->dir, after->name,
					 after->name_size, report, r);
	else if (code == 0)
		code = upper_each(r->reader, report, r);
	upper_read_end(upper, r->reader);
	return code;
}

int overlay_changes(struct overlay *o, const struct overlay_place *after,
		    overlay_visit_change *visit, void *context)
{
	struct report r = {
		.o = o, .visit = visit, .context = context, .path = BUFFER_INIT
	};
	if (!o->options.upper)
		return 0;
	(void)pthread_mutex_lock(&o->places.lock);
	int code = report_behind(&r, after);
	/* More is to come only after who visits has said so. */
	if (code <= 0)
		places_release(&o->places);
	(void)pthread_mutex_unlock(&o->places.lock);
	buffer_release(&r.path);
	return code;
}
