#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <string.h>

/* The clock that file systems stamp with, so that rows and content can be compared. */
struct timespec overlay_now(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now;
}

/* Its ticks are milliseconds; who looks twice within one must see a change all the same.
 */
struct timespec overlay_now_after(const struct timespec *before)
{
	struct timespec now = overlay_now();
	if (now.tv_sec < before->tv_sec ||
	    (now.tv_sec == before->tv_sec && now.tv_nsec <= before->tv_nsec))
		(void)clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

int name_check(const char *name)
{
	size_t size = strlen(name);
	if (size > NAME_MOST)
		return -ENAMETOOLONG;
	if (size == 0 || strchr(name, '/') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return -EINVAL;
	return 0;
}

void name_cover(const struct node *lower, struct upper_dentry *row)
{
	row->cookie = tree_cookie(lower->name_id);
	const char *target;
	const struct entry *e = &lower->entry;
	if (e->type == ENTRY_FILE) {
		row->has_base = true;
		row->base = e->digest;
	} else if (e->type == ENTRY_SYMLINK &&
		   image_readlink(lower->image, e, &target) == 0) {
		row->has_base = true;
		row->base = digest_of(target, e->size);
	}
}

/*
 * The pin: where the lower shows this node, a row that says the same. A node that has a
 * row already was pinned, or moved, when that was written.
 */
static int pin(struct overlay *o, struct upper_reader *r, const struct node *lower)
{
	struct upper_dentry row;
	struct upper_node ignored;
	uint64_t parent;
	const struct entry *e = &lower->entry;
	if (lower->id == TREE_ROOT)
		return 0;
	int code = tree_parent(o->options.tree, lower->id, &parent);
	if (code < 0)
		return code;
	code = upper_find_dentry(r, parent, e->name, e->name_size, &row, &ignored);
	if (code != -ENOENT)
		return code < 0 ? code : 0;
	row = (struct upper_dentry){ .parent = parent,
				     .name = e->name,
				     .name_size = e->name_size,
				     .node = lower->id,
				     .pin = true };
	name_cover(lower, &row);
	return upper_put_dentry(o->options.upper, &row);
}

/* Of hard links the first is pinned, unless a higher layer hides it. */
static int pin_first(struct overlay *o, struct upper_reader *r, uint64_t id)
{
	struct node first;
	struct node shown;
	uint64_t parent;
	int code = tree_node(o->options.tree, id, &first);
	if (code == 0)
		code = tree_parent(o->options.tree, id, &parent);
	if (code == 0)
		code = tree_lookup(o->options.tree, parent, first.entry.name,
				   first.entry.name_size, &shown);
	if (code == -ENOENT || (code == 0 && shown.id != id))
		return 0;
	return code < 0 ? code : pin(o, r, &first);
}

int node_take(struct overlay *o, struct upper_reader *r, struct found *f, bool with_pin)
{
	if (f->has_row)
		return 0;
	int code = node_as_row(o, f, &f->row);
	if (code == 0)
		code = upper_insert_node(o->options.upper, &f->row, NULL);
	if (code == 0 && with_pin)
		code = f->lower.links > 1 ? pin_first(o, r, f->id) : pin(o, r, &f->lower);
	f->has_row = code == 0;
	return code;
}

static int put(struct overlay *o, const struct found_name *n, uint64_t node, bool hides)
{
	struct upper_dentry row = n->row;
	if (!n->has_row) {
		row = (struct upper_dentry){ .parent = n->dir };
		if (n->node.has_lower)
			name_cover(&n->node.lower, &row);
		else
			row.cookie = upper_new_cookie(o->options.upper);
	}
	row.name = n->name;
	row.name_size = n->name_size;
	row.node = node;
	row.pin = false;
	if (hides)
		name_hide(o->options.tree, &row);
	return upper_put_dentry(o->options.upper, &row);
}

int name_put(struct overlay *o, const struct found_name *n, uint64_t node)
{
	return put(o, n, node, false);
}

int name_clear(struct overlay *o, const struct found_name *n, bool hides)
{
	/* A name that covers nothing leaves no trace. */
	if (n->has_row && n->row.cookie >= COOKIE_UPPER)
		return upper_delete_dentry(o->options.upper, n->dir, n->name,
					   n->name_size);
	return put(o, n, 0, hides);
}

int parent_find(struct overlay *o, struct upper_reader *r, uint64_t dir,
		struct found *ret)
{
	int code = node_find(o, r, dir, ret);
	if (code < 0)
		return code;
	if (!node_is_directory(ret))
		return -ENOTDIR;
	return ret->has_row && ret->row.nlink == 0 ? -ENOENT : 0;
}

/* nlink 1 of a lower directory says that its subdirectories are not counted. */
int directory_touch(struct overlay *o, struct upper_reader *r, struct found *dir,
		    int subdirectories)
{
	int code = node_take(o, r, dir, true);
	if (code < 0)
		return code;
	dir->row.mtime = dir->row.ctime = overlay_now_after(&dir->row.ctime);
	if (dir->row.nlink > 1)
		dir->row.nlink += (uint32_t)subdirectories;
	return upper_update_node(o->options.upper, &dir->row);
}

int node_unlink(struct overlay *o, struct upper_reader *r, struct found *f)
{
	int code = node_take(o, r, f, false);
	if (code < 0)
		return code;
	f->row.nlink = S_ISDIR(f->row.mode) || f->row.nlink == 0 ? 0 : f->row.nlink - 1;
	f->row.ctime = overlay_now_after(&f->row.ctime);
	return upper_update_node(o->options.upper, &f->row);
}

/* Who owns a new node: the caller, and in a set-gid directory its group. */
static void set_owner(const struct caller *caller, const struct stat *dir,
		      struct upper_node *row)
{
	row->uid = caller->uid;
	row->gid = caller->gid;
	if (!(dir->st_mode & S_ISGID))
		return;
	row->gid = dir->st_gid;
	if (S_ISDIR(row->mode))
		row->mode |= S_ISGID;
}

/* The row of a new node in a directory. */
static int new_row(struct overlay *o, const struct caller *caller,
		   const struct found *dir, const struct overlay_new *what,
		   struct upper_node *ret)
{
	struct stat st;
	int r = node_stat(o, dir, &st);
	if (r == 0)
		r = upper_begin_rows(o->options.upper);
	if (r < 0)
		return r;
	struct timespec now = overlay_now();
	bool is_directory = S_ISDIR(what->mode);
	*ret = (struct upper_node){
		.id = upper_new_node(o->options.upper),
		.mode = what->mode,
		.nlink = is_directory ? 2 : 1,
		.rdev = what->rdev,
		.size = what->target ? strlen(what->target) : 0,
		.atime = now,
		.mtime = now,
		.ctime = now,
		.parent = is_directory ? dir->id : 0,
	};
	set_owner(caller, &st, ret);
	return 0;
}

/* Of a row whose node has no content yet. */
static int stat_row(struct overlay *o, const struct upper_node *row, struct stat *ret)
{
	const struct found f = {
		.id = row->id, .has_row = true, .row = *row, .is_new = true
	};
	return node_stat(o, &f, ret);
}

static int make(struct overlay *o, struct upper_reader *r, const struct caller *caller,
		const struct found_name *n, const struct overlay_new *what,
		struct upper_node *ret)
{
	struct found dir;
	if (n->node.id != 0)
		return -EEXIST;
	int code = parent_find(o, r, n->dir, &dir);
	if (code == 0)
		code = new_row(o, caller, &dir, what, ret);
	if (code == 0)
		code = upper_insert_node(o->options.upper, ret, what->target);
	if (code == 0)
		code = name_put(o, n, ret->id);
	return code == 0 ? directory_touch(o, r, &dir, S_ISDIR(ret->mode)) : code;
}

/* As the first time; the node was remembered then. */
static int answer_again(struct overlay *o, struct upper_reader *r, uint64_t node,
			struct stat *ret)
{
	struct found f;
	int code = node_find(o, r, node, &f);
	if (code == 0)
		code = node_stat(o, &f, ret);
	if (code < 0)
		overlay_release(o);
	return code;
}

int overlay_make(struct overlay *o, const struct caller *caller, uint64_t dir,
		 const char *name, const struct overlay_new *what, struct stat *ret)
{
	struct upper_reader *reader;
	struct upper_node row = { .id = 0 };
	struct found_name n;
	int r = name_check(name);
	if (r == 0)
		r = change_begin(o, !caller->again, &reader);
	if (r < 0)
		return r;
	if (change_was_done(o, caller, &row.id))
		return answer_again(o, reader, row.id, ret);
	r = name_find(o, reader, dir, name, &n);
	if (r == 0)
		r = make(o, reader, caller, &n, what, &row);
	if (r == 0)
		r = stat_row(o, &row, ret);
	if (r == 0)
		r = overlay_remember(o, row.id);
	return change_end(o, caller, r, row.id);
}

int overlay_make_nameless(struct overlay *o, const struct caller *caller, uint64_t dir,
			  mode_t mode, struct stat *ret)
{
	const struct overlay_new what = { .mode = S_IFREG | (mode & 07777u) };
	struct upper_reader *reader;
	struct upper_node row = { .id = 0 };
	struct found parent;
	int r = change_begin(o, true, &reader);
	if (r < 0)
		return r;
	r = parent_find(o, reader, dir, &parent);
	if (r == 0)
		r = new_row(o, caller, &parent, &what, &row);
	row.nlink = 0;
	if (r == 0)
		r = upper_insert_node(o->options.upper, &row, NULL);
	if (r == 0)
		r = stat_row(o, &row, ret);
	if (r == 0)
		r = overlay_remember(o, row.id);
	if (r == 0)
		(void)counts_set_orphan(&o->counts, row.id, true);
	return change_end(o, caller, r, row.id);
}

static int link_node(struct overlay *o, struct upper_reader *r, struct found *f,
		     const struct found_name *n)
{
	if (n->node.id != 0)
		return -EEXIST;
	if (node_is_directory(f))
		return -EPERM;
	struct found dir;
	int code = parent_find(o, r, n->dir, &dir);
	if (code == 0)
		code = node_take(o, r, f, true);
	if (code < 0)
		return code;
	if (f->row.nlink >= INT32_MAX)
		return -EMLINK;
	f->row.nlink++;
	f->row.ctime = overlay_now_after(&f->row.ctime);
	code = upper_update_node(o->options.upper, &f->row);
	if (code == 0)
		code = name_put(o, n, f->id);
	return code == 0 ? directory_touch(o, r, &dir, 0) : code;
}

int overlay_link(struct overlay *o, const struct caller *caller, uint64_t node,
		 uint64_t dir, const char *name, struct stat *ret)
{
	struct upper_reader *reader;
	struct found f;
	struct found_name n;
	int r = name_check(name);
	if (r == 0)
		r = change_begin(o, !caller->again, &reader);
	if (r < 0)
		return r;
	if (change_was_done(o, caller, &node)) {
		(void)counts_set_orphan(&o->counts, node, false);
		return answer_again(o, reader, node, ret);
	}
	r = node_find(o, reader, node, &f);
	if (r == 0)
		r = name_find(o, reader, dir, name, &n);
	if (r == 0)
		r = link_node(o, reader, &f, &n);
	if (r == 0)
		r = node_stat(o, &f, ret);
	if (r == 0)
		r = overlay_remember(o, node);
	r = change_end(o, caller, r, node);
	if (r == 0)
		(void)counts_set_orphan(&o->counts, node, false);
	return r;
}
