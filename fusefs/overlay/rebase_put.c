#include "fusefs/overlay/rebase_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int rebase_put_name(struct rebase *r, const struct rebase_case *c, uint64_t node,
		    bool pin)
{
	struct upper_dentry d = { .parent = c->in->out_dir,
				  .name = c->name,
				  .name_size = c->size,
				  .node = node,
				  .pin = pin };
	if (c->has_ln)
		name_cover(&c->ln, &d);
	else if (c->row && c->row->d.cookie >= COOKIE_UPPER)
		d.cookie = c->row->d.cookie;
	else
		d.cookie = PLACE_COOKIE + r->numbers++;
	name_hide(r->q->after, &d);
	if (!rebase_is_bytecode(c->in->is_cache, c->name, c->size) &&
	    !node_is_directory(&c->f))
		r->solid++;
	return rebase_add_name(&r->after, &d);
}

/* Of something lower, as a row of its own. */
static int copy_target(const struct rebase_case *c, struct rebase_node *n)
{
	const char *target;
	if (!S_ISLNK(n->row.mode))
		return 0;
	int code = image_readlink(c->f.lower.image, &c->f.lower.entry, &target);
	if (code == 0)
		n->target = strndup(target, c->f.lower.entry.size);
	return code < 0 || n->target ? code : -ENOMEM;
}

static int make_of_lower(struct rebase *r, const struct rebase_case *c,
			 struct rebase_node *ret)
{
	const struct found *f = &c->f;
	struct upper_node row = f->row;
	if (!f->has_lower)
		return error_set(r->reterr, -EBADMSG,
				 "the layer of '%s' is not there any more",
				 buffer_cstr(&r->path));
	int code = f->has_row ? 0 : node_as_row(r->o, f, &row);
	if (code < 0)
		return code;
	*ret = (struct rebase_node){ .row = row,
				     .from = f->id,
				     .lower_xattrs = !(row.flags & NODE_XATTRS) };
	if (S_ISREG(row.mode))
		ret->content = row.flags & NODE_CONTENT ? CONTENT_MOVED : CONTENT_LOWER;
	ret->row.id = PLACE_NODE + r->numbers++;
	ret->row.flags = S_ISREG(row.mode) ? NODE_CONTENT : 0;
	return copy_target(c, ret);
}

int rebase_put_directory(struct rebase *r, const struct rebase_case *c, uint64_t *ret_id)
{
	struct rebase_node n;
	size_t place;
	int code = make_of_lower(r, c, &n);
	if (code < 0)
		return code;
	n.row.parent = c->in->out_dir;
	*ret_id = n.row.id;
	code = rebase_add_node(r, &n, &place);
	return code == 0 ? rebase_put_name(r, c, *ret_id, false) : code;
}

int rebase_put_made(struct rebase *r, const struct rebase_case *c, uint64_t *ret_id)
{
	bool lower = !(c->f.id & NODE_UPPER);
	enum rebase_key key = lower ? KEY_MADE : KEY_ID;
	size_t place = rebase_find_key(r, key, c->f.id);
	if (place == SIZE_MAX) {
		struct rebase_node n = { .row = c->f.row, .from = c->f.id };
		int code = lower ? make_of_lower(r, c, &n) : 0;
		if (S_ISDIR(n.row.mode))
			n.row.parent = c->in->out_dir;
		if (code == 0)
			code = rebase_add_node(r, &n, &place);
		if (code == 0 && lower)
			code = rebase_put_key(r, KEY_MADE, c->f.id, place);
		if (code < 0)
			return code;
	}
	*ret_id = r->nodes.items[place].row.id;
	return rebase_put_name(r, c, *ret_id, false);
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Python takes bytecode for that of a file by its mtime: other content, other mtime. */
static void merge_times(bool same_content, const struct stat *before,
			const struct stat *after, struct upper_node *row)
{
	bool set = !is_same_time(&row->mtime, &before->st_mtim);
	if (S_ISDIR(row->mode)) {
		if (!set || is_later(&after->st_mtim, &row->mtime))
			row->mtime = after->st_mtim;
		return;
	}
	if (!same_content || !set)
		row->mtime = after->st_mtim;
	if (!same_content || is_same_time(&row->atime, &before->st_atim))
		row->atime = after->st_atim;
}

/* What was set stays; what never was is that of after. */
static void merge(const struct rebase *r, const struct rebase_case *c, bool same_content,
		  struct upper_node *row)
{
	struct stat before;
	struct stat after;
	tree_stat(r->q->after, &c->ln, &after);
	if (!c->f.has_lower)
		return;
	tree_stat(r->q->before, &c->f.lower, &before);
	if (row->mode == before.st_mode)
		row->mode = after.st_mode;
	if (row->uid == before.st_uid)
		row->uid = after.st_uid;
	if (row->gid == before.st_gid)
		row->gid = after.st_gid;
	merge_times(same_content, &before, &after, row);
	if (S_ISDIR(row->mode))
		return;
	/* Names that were removed. */
	uint32_t removed =
	    row->nlink < before.st_nlink ? (uint32_t)before.st_nlink - row->nlink : 0;
	uint32_t links = c->ln.links;
	row->nlink = removed < links ? links - removed : 1;
	if (!(row->flags & NODE_CONTENT))
		row->size = (uint64_t)after.st_size;
}

int rebase_put_lower(struct rebase *r, const struct rebase_case *c)
{
	struct rebase_node n = { .row = c->f.row, .from = c->f.id };
	size_t place = rebase_find_key(r, KEY_ID, c->ln.id);
	bool own = (n.row.flags & NODE_CONTENT) != 0;
	bool same = own;
	bool taken = place != SIZE_MAX
			 ? r->nodes.items[place].from != c->f.id
			 : c->ln.id != c->f.id && rebase_find_row(r, c->ln.id);
	if (taken)
		return -EEXIST;
	int code = own || S_ISDIR(n.row.mode) || !c->f.has_lower
		       ? 0
		       : rebase_same_lower(r, &c->f.lower, &c->ln, &same);
	if (code < 0)
		return code;
	if (place == SIZE_MAX) {
		merge(r, c, same, &n.row);
		n.row.id = c->ln.id;
		n.row.parent = S_ISDIR(n.row.mode) ? c->in->out_dir : 0;
		if (own && c->ln.id != c->f.id)
			n.content = CONTENT_MOVED;
		code = rebase_add_node(r, &n, &place);
	}
	return code == 0 ? rebase_put_name(r, c, c->ln.id, true) : code;
}

int rebase_put_root(struct rebase *r)
{
	const struct rebase_node *row = rebase_find_row(r, TREE_ROOT);
	size_t place;
	if (!row)
		return 0;
	struct rebase_node n = { .row = row->row, .from = TREE_ROOT, .is_root = true };
	return rebase_add_node(r, &n, &place);
}

int rebase_conflict(struct rebase *r)
{
	const char *path = buffer_cstr(&r->path);
	if (r->conflict_count == r->conflict_room) {
		size_t room = r->conflict_room ? 2 * r->conflict_room : 64;
		char **grown = reallocarray(r->conflicts, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		r->conflicts = grown;
		r->conflict_room = room;
	}
	char *copy = path ? strdup(path) : NULL;
	if (!copy)
		return -ENOMEM;
	r->conflicts[r->conflict_count++] = copy;
	return 0;
}
