#include "fusefs/serve/ops.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>

/* Cookies 1 and 2 stand behind "." and ".."; the tree's begin at 4. */
enum { COOKIE_DOT = 1, COOKIE_DOTDOT = 2 };

struct listing {
	fuse_req_t req;
	struct ops *ops;
	bool plus;
	char *bytes;
	size_t size, used;
};

/* 1 when the reply is full. */
static int add(struct listing *l, const char *name, const struct fuse_entry_param *e,
	       uint64_t cookie)
{
	char *at = l->bytes + l->used;
	size_t room = l->size - l->used;
	size_t needs =
	    l->plus ? fuse_add_direntry_plus(l->req, at, room, name, e, (off_t)cookie)
		    : fuse_add_direntry(l->req, at, room, name, &e->attr, (off_t)cookie);
	if (needs > room)
		return 1;
	l->used += needs;
	return 0;
}

/* What READDIRPLUS tells the kernel of counts as a lookup. */
static int add_child(void *context, const struct overlay_child *child)
{
	struct listing *l = context;
	struct fuse_entry_param e;
	char name[256];
	memcpy(name, child->name, child->name_size);
	name[child->name_size] = '\0';
	ops_fill_entry(&child->st, &e);
	int r = add(l, name, &e, child->cookie);
	return r == 0 && l->plus ? overlay_remember(l->ops->overlay, child->st.st_ino)
				 : r;
}

/* Inode 0 tells READDIRPLUS that no lookup is counted for these two. */
static int add_dots(struct listing *l, uint64_t dir, uint64_t after)
{
	struct fuse_entry_param e = { .attr = { .st_mode = S_IFDIR, .st_ino = dir } };
	if (after < COOKIE_DOT && add(l, ".", &e, COOKIE_DOT) != 0)
		return 1;
	if (after >= COOKIE_DOTDOT)
		return 0;
	uint64_t parent;
	int r = overlay_parent(l->ops->overlay, dir, &parent);
	if (r < 0)
		return r;
	e.attr.st_ino = parent;
	return add(l, "..", &e, COOKIE_DOTDOT);
}

/* The kernel does not wait for it: it had been answered, and counted, before. */
static void forget_listed(const struct listing *l)
{
	struct fuse_direntplus e;
	size_t at = 0;
	while (l->plus && l->used - at >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		memcpy(&e, l->bytes + at, FUSE_NAME_OFFSET_DIRENTPLUS);
		if (e.entry_out.nodeid != 0)
			overlay_forget(l->ops->overlay, e.entry_out.nodeid, 1, NULL);
		at += FUSE_DIRENTPLUS_SIZE(&e);
	}
}

/*
 * An error after some names were added must not lose them: those of READDIRPLUS are
 * counted. It comes again at the next call, which begins with it.
 */
static void list(fuse_req_t req, uint64_t dir, size_t size, uint64_t after, bool plus)
{
	struct ops *ops = ops_of(req);
	struct scratch *scratch = scratch_take(ops);
	struct listing l = { .req = req,
			     .ops = ops,
			     .plus = plus,
			     .bytes = (char *)scratch->bytes,
			     .size = size < READ_MOST ? size : READ_MOST };
	int r = add_dots(&l, dir, after);
	if (r == 0)
		r = overlay_list(ops->overlay, dir, after > COOKIE_DOTDOT ? after : 0,
				 plus, add_child, &l);
	if (r < 0 && l.used == 0)
		ops_reply(req, r, "READDIR", dir);
	else if (fuse_reply_buf(req, l.bytes, l.used) < 0)
		forget_listed(&l);
	scratch_give(scratch);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, (uint64_t)offset, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, (uint64_t)offset, true);
}

/* ENOSYS once, and the kernel opens directories by itself and caches their listings. */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct ops *ops = ops_of(req);
	(void)ino;
	if (ops_has(ops, FEATURE_NO_OPENDIR)) {
		(void)fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->fh = 0;
	fi->keep_cache = 1;
	fi->cache_readdir = ops_has(ops, FEATURE_CACHE_READDIR);
	(void)fuse_reply_open(req, fi);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)fi;
	ops_reply(req, overlay_sync(ops_of(req)->overlay, ino, datasync != 0), "FSYNCDIR",
		  ino);
}
