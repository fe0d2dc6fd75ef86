#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An unlinked node that the kernel knows waits until it is forgotten. */
static bool is_known(void *context, uint64_t id)
{
	struct overlay *o = context;
	return !counts_set_orphan(&o->counts, id, true);
}

int overlay_new(const struct overlay_options *options, struct overlay **ret)
{
	struct overlay *o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->options = *options;
	int r = counts_init(&o->counts, options->counts);
	if (r < 0) {
		free(o);
		return r;
	}
	for (size_t i = 0; i < COPY_LOCKS; i++)
		(void)pthread_mutex_init(&o->copying[i], NULL);
	(void)pthread_mutex_init(&o->places.lock, NULL);
	if (options->upper)
		r = upper_reap_left(options->upper, is_known, o);
	if (r < 0) {
		overlay_free(o);
		return r;
	}
	*ret = o;
	return 0;
}

void overlay_free(struct overlay *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < COPY_LOCKS; i++)
		(void)pthread_mutex_destroy(&o->copying[i]);
	places_release(&o->places);
	(void)pthread_mutex_destroy(&o->places.lock);
	counts_release(&o->counts);
	free(o);
}

void overlay_release(struct overlay *o)
{
	upper_end(o->options.upper);
}

int change_begin(struct overlay *o, bool adds, struct upper_reader **ret)
{
	return o->options.upper ? upper_begin(o->options.upper, adds, ret) : -EROFS;
}

int change_end(struct overlay *o, const struct caller *caller, int r, uint64_t node)
{
	const struct upper_record record = { .unique = caller ? caller->unique : 0,
					     .node = node };
	if (r == 0)
		r = upper_commit(o->options.upper, caller ? &record : NULL);
	if (r < 0)
		upper_end(o->options.upper);
	else if (caller && o->options.die_after > 0 && --o->options.die_after == 0)
		(void)kill(getpid(), SIGKILL);
	return r;
}

bool change_was_done(struct overlay *o, const struct caller *caller, uint64_t *ret_node)
{
	return caller->again && o->options.was_done &&
	       o->options.was_done(o->options.context, caller->unique, ret_node);
}

static struct upper_reader *read_begin(struct overlay *o)
{
	return o->options.upper ? upper_read(o->options.upper) : NULL;
}

static void read_end(struct overlay *o, struct upper_reader *r)
{
	if (r)
		upper_read_end(o->options.upper, r);
}

/* Lower nodes and names that nobody changed need no reader. */
static struct upper_reader *read_begin_of(struct overlay *o, uint64_t node)
{
	struct upper *upper = o->options.upper;
	return upper && upper_may_have(upper, node) ? upper_read(upper) : NULL;
}

static int find_alone(struct overlay *o, uint64_t node, struct found *ret)
{
	struct upper_reader *reader = read_begin_of(o, node);
	int r = node_find(o, reader, node, ret);
	read_end(o, reader);
	return r;
}

int overlay_lookup(struct overlay *o, uint64_t dir, const char *name, struct stat *ret)
{
	struct found_name n;
	struct upper_reader *reader = read_begin_of(o, dir);
	int r = name_find(o, reader, dir, name, &n);
	read_end(o, reader);
	/* Of a file of several names the row may have come by another one. */
	if (r == 0 && !reader && n.node.id != 0 && o->options.upper &&
	    upper_may_have(o->options.upper, n.node.id))
		r = find_alone(o, n.node.id, &n.node);
	if (r == 0 && n.node.id == 0)
		r = -ENOENT;
	return r < 0 ? r : node_stat(o, &n.node, ret);
}

int overlay_stat(struct overlay *o, uint64_t node, struct stat *ret)
{
	struct found f;
	int r = find_alone(o, node, &f);
	return r < 0 ? r : node_stat(o, &f, ret);
}

/*
 * Does a name lead to it still? A row counts names. A lower node without one has the name
 * that its image gives it, unless a row says of that name what else became of it, or it
 * lies in a directory that is no more: rows of what was removed go, their names' stay.
 */
static int find_named(struct overlay *o, struct upper_reader *reader, uint64_t id)
{
	struct found f;
	struct upper_dentry row;
	struct upper_node ignored;
	int r = node_find(o, reader, id, &f);
	while (r == 0 && !f.has_row && id != TREE_ROOT) {
		const struct entry *e = &f.lower.entry;
		uint64_t dir;
		r = tree_parent(o->options.tree, id, &dir);
		if (r == 0 && reader)
			r = upper_find_dentry(reader, dir, e->name, e->name_size, &row,
					      &ignored);
		/* Another cookie is that of a name in a higher layer, which hides it. */
		if (r == 0 && reader && row.node != id &&
		    row.cookie == tree_cookie(f.lower.name_id))
			return -ENOENT;
		if (r < 0 && r != -ENOENT)
			return r;
		id = dir;
		r = node_find(o, reader, id, &f);
	}
	return r == 0 && f.has_row && f.row.nlink == 0 ? -ENOENT : r;
}

int overlay_find(struct overlay *o, uint64_t node, struct stat *ret)
{
	struct upper_reader *reader = read_begin(o);
	int r = find_named(o, reader, node);
	read_end(o, reader);
	return r < 0 ? r : overlay_stat(o, node, ret);
}

int overlay_readlink(struct overlay *o, uint64_t node, struct buffer *out)
{
	struct found f;
	const char *target;
	int r = find_alone(o, node, &f);
	if (r < 0)
		return r;
	if (f.has_lower) {
		r = image_readlink(f.lower.image, &f.lower.entry, &target);
		return r < 0 ? r : buffer_append(out, target, f.lower.entry.size);
	}
	if (!S_ISLNK(f.row.mode))
		return -EINVAL;
	if (!(node & NODE_UPPER))
		return -EIO; /* its layer is gone, and its target with it */
	struct upper_reader *reader = read_begin(o);
	r = upper_read_target(reader, node, out);
	read_end(o, reader);
	return r;
}

int overlay_parent(struct overlay *o, uint64_t dir, uint64_t *ret_parent)
{
	struct found f;
	int r = find_alone(o, dir, &f);
	if (r < 0)
		return r;
	if (!f.has_row || f.row.parent == 0)
		return tree_parent(o->options.tree, dir, ret_parent);
	*ret_parent = f.row.parent;
	return 0;
}

int overlay_statfs(struct overlay *o, struct statvfs *ret)
{
	/* No blocks, as /proc has none: df leaves a read-only mount out rather than
	 * showing a disk that is full. */
	enum { BLOCK = 4096 };
	*ret = (struct statvfs){ .f_bsize = BLOCK,
				 .f_frsize = BLOCK,
				 .f_namemax = NAME_MOST };
	if (!o->options.upper)
		return 0;
	if (fstatvfs(upper_fd(o->options.upper), ret) < 0)
		return -errno;
	ret->f_namemax = NAME_MOST;
	return 0;
}

int overlay_remember(struct overlay *o, uint64_t node)
{
	return o->options.upper ? counts_add(&o->counts, node) : 0;
}

void overlay_forget(struct overlay *o, uint64_t node, uint64_t count,
		    const struct count_once *once)
{
	if (o->options.upper && counts_sub(&o->counts, node, count, once))
		upper_reap(o->options.upper, node);
}
