#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <string.h>

/* What is found by id: a row, and what an image has under it. */
int node_find(struct overlay *o, struct upper_reader *r, uint64_t id, struct found *ret)
{
	struct upper *upper = o->options.upper;
	*ret = (struct found){ .id = id };
	if (upper && upper_may_have(upper, id)) {
		int code = upper_find_node(r, id, &ret->row);
		if (code < 0 && code != -ENOENT)
			return code;
		ret->has_row = code == 0;
	}
	if (id & NODE_UPPER)
		return ret->has_row ? 0 : -ENOENT;
	int code = tree_node(o->options.tree, id, &ret->lower);
	ret->has_lower = code == 0;
	/* A row may stand for what a later plan does not have any more. */
	return code == -ENOENT && ret->has_row ? 0 : code;
}

int node_has_lower_names(struct overlay *o, struct upper_reader *r, uint64_t dir,
			 bool *ret)
{
	struct upper *upper = o->options.upper;
	struct upper_node row;
	*ret = !(dir & NODE_UPPER);
	if (!*ret || !upper || !upper_may_have(upper, dir))
		return 0;
	int code = upper_find_node(r, dir, &row);
	if (code == 0)
		*ret = !(row.flags & NODE_OWN);
	return code == -ENOENT ? 0 : code;
}

static int find_lower_name(struct overlay *o, struct upper_reader *r,
			   struct found_name *n)
{
	bool has_lower;
	int code = node_has_lower_names(o, r, n->dir, &has_lower);
	if (code < 0 || !has_lower)
		return code;
	code =
	    tree_lookup(o->options.tree, n->dir, n->name, n->name_size, &n->node.lower);
	if (code < 0)
		return code == -ENOENT ? 0 : code;
	n->node.id = n->node.lower.id;
	n->node.has_lower = true;
	/* A lower name without a row leads to a node without one, unless that has
	 * several. */
	struct upper *upper = o->options.upper;
	if (upper && upper_may_have(upper, n->node.id)) {
		code = upper_find_node(r, n->node.id, &n->node.row);
		n->node.has_row = code == 0;
	}
	return code < 0 && code != -ENOENT ? code : 0;
}

int name_find(struct overlay *o, struct upper_reader *r, uint64_t dir, const char *name,
	      struct found_name *ret)
{
	struct upper *upper = o->options.upper;
	*ret = (struct found_name){ .dir = dir, .name = name, .name_size = strlen(name) };
	if (ret->name_size > NAME_MOST)
		return -ENAMETOOLONG;
	int code = upper && upper_may_have(upper, dir)
		       ? upper_find_dentry(r, dir, name, ret->name_size, &ret->row,
					   &ret->node.row)
		       : -ENOENT;
	if (code == -ENOENT)
		return find_lower_name(o, r, ret);
	if (code < 0)
		return code;
	ret->has_row = true;
	ret->node.id = ret->row.node;
	ret->node.has_row = ret->node.id != 0;
	if (ret->node.id == 0 || (ret->node.id & NODE_UPPER))
		return 0;
	code = tree_node(o->options.tree, ret->node.id, &ret->node.lower);
	ret->node.has_lower = code == 0;
	return code == -ENOENT ? 0 : code;
}

bool node_is_directory(const struct found *f)
{
	return f->has_row ? S_ISDIR(f->row.mode) : f->lower.entry.type == ENTRY_DIRECTORY;
}

bool node_is_file(const struct found *f)
{
	return f->has_row ? S_ISREG(f->row.mode) : f->lower.entry.type == ENTRY_FILE;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* Size, times and blocks of a file are those of its content, once it has any. */
static int add_content(struct overlay *o, const struct found *f, struct stat *ret)
{
	struct stat st;
	bool expected = (f->row.flags & NODE_CONTENT) != 0;
	if (!expected && !(f->id & NODE_UPPER))
		return 0;
	int r = content_stat(o->options.upper, f->id, &st);
	/* Lost in a power cut: an empty file (content_find), or damage that can be
	 * removed. It is not shown as empty, or nobody would ask for what is missing. */
	if (r == -ENOENT && expected && (f->id & NODE_UPPER))
		ret->st_size = 1;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!expected)
		content_note(o->options.upper, f->id);
	ret->st_size = st.st_size;
	ret->st_blocks = st.st_blocks;
	ret->st_atim = st.st_atim;
	ret->st_mtim = st.st_mtim;
	if (is_later(&st.st_ctim, &ret->st_ctim))
		ret->st_ctim = st.st_ctim;
	return 0;
}

int node_stat(struct overlay *o, const struct found *f, struct stat *ret)
{
	enum { BLOCK = 4096, SECTOR = 512 };
	if (!f->has_row) {
		tree_stat(o->options.tree, &f->lower, ret);
		return 0;
	}
	const struct upper_node *row = &f->row;
	*ret = (struct stat){
		.st_ino = f->id,
		.st_mode = row->mode,
		.st_nlink = row->nlink,
		.st_uid = row->uid,
		.st_gid = row->gid,
		.st_rdev = row->rdev,
		.st_size = (off_t)row->size,
		.st_blksize = BLOCK,
		.st_blocks = S_ISREG(row->mode)
				 ? (blkcnt_t)((row->size + SECTOR - 1) / SECTOR)
				 : 0,
		.st_atim = row->atime,
		.st_mtim = row->mtime,
		.st_ctim = row->ctime,
	};
	return S_ISREG(row->mode) && !f->is_new ? add_content(o, f, ret) : 0;
}

int node_as_row(struct overlay *o, const struct found *f, struct upper_node *ret)
{
	struct stat st;
	tree_stat(o->options.tree, &f->lower, &st);
	*ret = (struct upper_node){
		.id = f->id,
		.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.nlink = (uint32_t)st.st_nlink,
		.rdev = st.st_rdev,
		.size = (uint64_t)st.st_size,
		.atime = st.st_atim,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim,
	};
	return S_ISDIR(st.st_mode) ? tree_parent(o->options.tree, f->id, &ret->parent)
				   : 0;
}
