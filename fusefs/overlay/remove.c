#include "fusefs/overlay/overlay_private.h"

#include <errno.h>

void node_orphan(struct overlay *o, const struct found *f)
{
	if (f->row.nlink == 0 && counts_set_orphan(&o->counts, f->id, true))
		upper_reap(o->options.upper, f->id);
}

static int check_removable(struct overlay *o, struct upper_reader *r,
			   const struct found *f, bool directory)
{
	bool is_directory = node_is_directory(f);
	if (directory != is_directory)
		return is_directory ? -EISDIR : -ENOTDIR;
	return directory ? directory_is_empty(o, r, f->id) : 0;
}

static int remove_name(struct overlay *o, struct upper_reader *r, struct found_name *n,
		       bool directory)
{
	struct found dir;
	if (n->node.id == 0)
		return -ENOENT;
	int code = check_removable(o, r, &n->node, directory);
	if (code == 0)
		code = parent_find(o, r, n->dir, &dir);
	if (code == 0)
		code = node_unlink(o, r, &n->node);
	if (code == 0)
		code = name_clear(o, n, directory);
	return code == 0 ? directory_touch(o, r, &dir, directory ? -1 : 0) : code;
}

int overlay_remove(struct overlay *o, const struct caller *caller, uint64_t dir,
		   const char *name, bool directory)
{
	struct upper_reader *reader;
	struct found_name n;
	uint64_t ignored;
	int r = change_begin(o, false, &reader);
	if (r < 0 || change_was_done(o, caller, &ignored))
		return r;
	r = name_find(o, reader, dir, name, &n);
	if (r == 0)
		r = remove_name(o, reader, &n, directory);
	r = change_end(o, caller, r, 0);
	if (r == 0)
		node_orphan(o, &n.node);
	return r;
}
