#include "fusefs/serve/ops.h"
#include "fusefs/serve/request.h"

#include <errno.h>

/* After a change that was committed: the reply, and only then the next one's turn. */
static void reply_made(fuse_req_t req, int code, const struct stat *st,
		       const char *request, uint64_t parent)
{
	struct overlay *overlay = ops_of(req)->overlay;
	if (code == 0) {
		ops_reply_entry(req, st);
		overlay_release(overlay);
	} else {
		ops_reply(req, code, request, parent);
	}
}

static void reply_done(fuse_req_t req, int code, const char *request, uint64_t node)
{
	struct overlay *overlay = ops_of(req)->overlay;
	ops_reply(req, code, request, node);
	if (code == 0)
		overlay_release(overlay);
}

static void make(fuse_req_t req, uint64_t parent, const char *name,
		 const struct overlay_new *what, const char *request)
{
	const struct caller caller = ops_caller(req);
	struct stat st;
	int r = overlay_make(ops_of(req)->overlay, &caller, parent, name, what, &st);
	reply_made(req, r, &st, request, parent);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	const struct overlay_new what = { .mode = mode, .rdev = rdev };
	make(req, parent, name, &what, "MKNOD");
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	const struct overlay_new what = { .mode = S_IFDIR | (mode & 07777u) };
	make(req, parent, name, &what, "MKDIR");
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	const struct overlay_new what = { .mode = S_IFLNK | 0777, .target = target };
	make(req, parent, name, &what, "SYMLINK");
}

/*
 * ENOSYS once: files are then made by MKNOD, and no handle is ever open. Only a file
 * without a name cannot be made so.
 */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct ops *ops = ops_of(req);
	const struct caller caller = ops_caller(req);
	struct fuse_entry_param e;
	struct stat st;
	(void)name;
	if (!request_current()->tmpfile || !ops_has(ops, FEATURE_TMPFILE)) {
		(void)fuse_reply_err(req,
				     request_current()->tmpfile ? EOPNOTSUPP : ENOSYS);
		return;
	}
	int r = overlay_make_nameless(ops->overlay, &caller, parent, mode, &st);
	if (r < 0) {
		ops_reply(req, r, "TMPFILE", parent);
		return;
	}
	ops_fill_entry(&st, &e);
	fi->fh = 0;
	fi->keep_cache = 1;
	if (fuse_reply_create(req, &e, fi) < 0)
		overlay_forget(ops->overlay, st.st_ino, 1, NULL);
	overlay_release(ops->overlay);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	const struct caller caller = ops_caller(req);
	struct stat st;
	int r = overlay_link(ops_of(req)->overlay, &caller, ino, parent, name, &st);
	reply_made(req, r, &st, "LINK", ino);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct caller caller = ops_caller(req);
	int r = overlay_remove(ops_of(req)->overlay, &caller, parent, name, false);
	reply_done(req, r, "UNLINK", parent);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct caller caller = ops_caller(req);
	int r = overlay_remove(ops_of(req)->overlay, &caller, parent, name, true);
	reply_done(req, r, "RMDIR", parent);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
	       const char *to_name, unsigned flags)
{
	const struct caller caller = ops_caller(req);
	const struct overlay_rename q = { .from_dir = parent,
					  .to_dir = to_parent,
					  .from = name,
					  .to = to_name,
					  .flags = flags };
	int r = overlay_rename(ops_of(req)->overlay, &caller, &q);
	reply_done(req, r, "RENAME", parent);
}
