#include "fusefs/overlay/rebase_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(void **items, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return 0;
	size_t more = *room ? 2 * *room : 64;
	void *grown = reallocarray(*items, more, size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*room = more;
	return 0;
}

int rebase_add_name(struct rebase_names *names, const struct upper_dentry *d)
{
	int r = grow((void **)&names->items, names->count, &names->room,
		     sizeof(*names->items));
	char *text = r == 0 ? strndup(d->name, d->name_size) : NULL;
	if (!text)
		return -ENOMEM;
	struct rebase_name *name = &names->items[names->count++];
	*name = (struct rebase_name){ .d = *d, .text = text };
	name->d.name = text;
	return 0;
}

static int compare_texts(const char *a, size_t a_size, const char *b, size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
	return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

int rebase_compare_names(const void *a, const void *b)
{
	const struct upper_dentry *x = &((const struct rebase_name *)a)->d;
	const struct upper_dentry *y = &((const struct rebase_name *)b)->d;
	if (x->parent != y->parent)
		return x->parent > y->parent ? 1 : -1;
	return compare_texts(x->name, x->name_size, y->name, y->name_size);
}

static int compare_nodes(const void *a, const void *b)
{
	uint64_t x = ((const struct rebase_node *)a)->row.id;
	uint64_t y = ((const struct rebase_node *)b)->row.id;
	return (x > y) - (x < y);
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static int compare_touched(const void *a, const void *b)
{
	const struct rebase_touched *x = a;
	const struct rebase_touched *y = b;
	if (x->parent != y->parent)
		return x->parent > y->parent ? 1 : -1;
	return (x->dir > y->dir) - (x->dir < y->dir);
}

static void sort(void *items, size_t count, size_t size,
		 int (*compare)(const void *a, const void *b))
{
	if (count > 1)
		qsort(items, count, size, compare);
}

static int take_name(void *context, const struct upper_dentry *d,
		     const struct upper_node *n)
{
	struct rebase *r = context;
	(void)n;
	int code = rebase_add_name(&r->before, d);
	/* Renamed away and back it is as if pinned. */
	bool back = d->cookie == tree_cookie(d->node);
	if (code < 0 || d->node == 0 || d->pin || back || (d->node & NODE_UPPER))
		return code;
	code =
	    grow((void **)&r->moved, r->moved_count, &r->moved_room, sizeof(*r->moved));
	if (code == 0)
		r->moved[r->moved_count++] = d->node;
	return code;
}

static int take_row(void *context, const struct upper_node *n)
{
	struct rebase *r = context;
	int code = grow((void **)&r->rows.items, r->rows.count, &r->rows.room,
			sizeof(*r->rows.items));
	if (code == 0)
		r->rows.items[r->rows.count++] = (struct rebase_node){ .row = *n };
	return code;
}

size_t rebase_first_of(const struct rebase *r, uint64_t parent)
{
	size_t low = 0;
	size_t high = r->before.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (r->before.items[middle].d.parent < parent)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct rebase_name *rebase_find_name(const struct rebase *r, uint64_t parent,
					   const char *name, size_t size)
{
	const struct rebase_name wanted = {
		.d = { .parent = parent, .name = name, .name_size = size }
	};
	return r->before.count ? bsearch(&wanted, r->before.items, r->before.count,
					 sizeof(wanted), rebase_compare_names)
			       : NULL;
}

const struct rebase_node *rebase_find_row(const struct rebase *r, uint64_t id)
{
	const struct rebase_node wanted = { .row = { .id = id } };
	return r->rows.count ? bsearch(&wanted, r->rows.items, r->rows.count,
				       sizeof(wanted), compare_nodes)
			     : NULL;
}

bool rebase_is_moved(const struct rebase *r, uint64_t id)
{
	return r->moved_count &&
	       bsearch(&id, r->moved, r->moved_count, sizeof(id), compare_ids);
}

/* One more name of a changed file, which shows the change without a row of its own. */
static int imply_name(struct rebase *r, uint64_t id, uint64_t name_id,
		      struct rebase_names *more)
{
	struct node link;
	struct node shown;
	struct upper_dentry d = { .node = id, .pin = true };
	struct tree *tree = r->q->before;
	int code = tree_node(tree, name_id, &link);
	if (code == 0)
		code = tree_parent(tree, name_id, &d.parent);
	if (code < 0)
		return code;
	d.name = link.entry.name;
	d.name_size = link.entry.name_size;
	if (rebase_find_name(r, d.parent, d.name, d.name_size))
		return 0;
	code = tree_lookup(tree, d.parent, d.name, d.name_size, &shown);
	if (code < 0 || shown.id != id)
		return code == -ENOENT ? 0 : code;
	name_cover(&shown, &d);
	return rebase_add_name(more, &d);
}

static int imply_names(struct rebase *r, uint64_t id, struct rebase_names *more)
{
	struct node node;
	if (id & NODE_UPPER)
		return 0;
	int code = tree_node(r->q->before, id, &node);
	if (code < 0 || node.links < 2)
		return code == -ENOENT ? 0 : code;
	for (uint32_t i = 0; code == 0 && i < image_count(node.image); i++) {
		uint32_t first;
		code = image_hard_link(node.image, i, &first);
		bool is_one =
		    i == node.entry.number || (code == 0 && first == node.entry.number);
		code = code == -ENODATA ? 0 : code;
		if (code == 0 && is_one)
			code = imply_name(r, id, id - node.entry.number + i, more);
	}
	return code;
}

static int imply_all(struct rebase *r)
{
	struct rebase_names more = { .items = NULL };
	int code = 0;
	for (size_t i = 0; code == 0 && i < r->rows.count; i++) {
		if (r->rows.items[i].row.nlink > 0)
			code = imply_names(r, r->rows.items[i].row.id, &more);
	}
	for (size_t i = 0; i < more.count; i++) {
		if (code == 0)
			code = rebase_add_name(&r->before, &more.items[i].d);
		if (code == 0)
			r->before.items[r->before.count - 1].implied = true;
		free(more.items[i].text);
	}
	free(more.items);
	sort(r->before.items, r->before.count, sizeof(*r->before.items),
	     rebase_compare_names);
	return code;
}

static int parent_of(struct rebase *r, uint64_t dir, uint64_t *ret)
{
	const struct rebase_node *row = rebase_find_row(r, dir);
	if (row && row->row.parent != 0) {
		*ret = row->row.parent;
		return 0;
	}
	return dir & NODE_UPPER ? -ENOENT : tree_parent(r->q->before, dir, ret);
}

/*
 * The directory and all that it lies in, up to one that is noted already. What hangs in
 * nothing is noted as well, and never reached.
 */
static int touch(struct rebase *r, uint64_t dir)
{
	while (dir != TREE_ROOT) {
		uint64_t parent;
		if (rebase_find_key(r, KEY_TOUCHED, dir) != SIZE_MAX)
			return 0;
		int code = parent_of(r, dir, &parent);
		if (code < 0)
			return code == -ENOENT || code == -ENOTDIR ? 0 : code;
		code = rebase_put_key(r, KEY_TOUCHED, dir, 0);
		if (code == 0)
			code = grow((void **)&r->touched, r->touched_count,
				    &r->touched_room, sizeof(*r->touched));
		if (code < 0)
			return code;
		r->touched[r->touched_count++] = (struct rebase_touched){ dir, parent };
		dir = parent;
	}
	return 0;
}

static int touch_all(struct rebase *r)
{
	int code = 0;
	for (size_t i = 0; code == 0 && i < r->before.count; i++) {
		uint64_t parent = r->before.items[i].d.parent;
		if (i == 0 || parent != r->before.items[i - 1].d.parent)
			code = touch(r, parent);
	}
	sort(r->touched, r->touched_count, sizeof(*r->touched), compare_touched);
	return code;
}

int rebase_load(struct rebase *r)
{
	int code = upper_each(r->reader, take_name, r);
	if (code == 0)
		code = upper_each_node(r->reader, take_row, r);
	if (code < 0)
		return code;
	sort(r->before.items, r->before.count, sizeof(*r->before.items),
	     rebase_compare_names);
	sort(r->rows.items, r->rows.count, sizeof(*r->rows.items), compare_nodes);
	sort(r->moved, r->moved_count, sizeof(*r->moved), compare_ids);
	code = imply_all(r);
	return code == 0 ? touch_all(r) : code;
}

static void release_names(struct rebase_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i].text);
	free(names->items);
}

void rebase_release(struct rebase *r)
{
	release_names(&r->before);
	release_names(&r->after);
	for (size_t i = 0; i < r->nodes.count; i++)
		free(r->nodes.items[i].target);
	for (size_t i = 0; i < r->conflict_count; i++)
		free(r->conflicts[i]);
	free(r->conflicts);
	rebase_release_launchers(r);
	free(r->nodes.items);
	free(r->rows.items);
	free(r->touched);
	free(r->moved);
	buffer_release(&r->path);
	free(r->slots);
}
