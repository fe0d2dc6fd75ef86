#include "fusefs/serve/ops.h"

#include <errno.h>

/* ENOSYS once, and the kernel opens files by itself and keeps their pages. */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (ops_has(ops_of(req), FEATURE_NO_OPEN)) {
		(void)fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->fh = 0;
	fi->keep_cache = 1;
	(void)fuse_reply_open(req, fi);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	     struct fuse_file_info *fi)
{
	struct ops *ops = ops_of(req);
	struct scratch *scratch = scratch_take(ops);
	struct node node;
	struct image_bytes bytes = { .data = NULL };
	(void)fi;
	if (size > READ_MOST)
		size = READ_MOST;
	int r = tree_node(ops->tree, ino, &node);
	if (r == 0)
		r = image_read(node.image, &node.entry, (uint64_t)offset, size,
			       scratch->bytes, &bytes);
	if (r < 0)
		(void)fuse_reply_err(req, ops_errno(ops, r, "READ", ino));
	else
		(void)fuse_reply_buf(req, bytes.data, bytes.size);
	scratch_give(scratch);
}
