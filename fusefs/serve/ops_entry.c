#include "fusefs/serve/log.h"
#include "fusefs/serve/ops.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

int ops_errno(struct ops *ops, int code, const char *request, uint64_t node)
{
	if (code != -EBADMSG && code != -EIO)
		return -code;
	log_line(ops->log, "%s of layer %llu, entry %llu: %s", request,
		 (unsigned long long)(node >> 32), (unsigned long long)(uint32_t)node,
		 code == -EBADMSG ? "the cache is damaged (venvfs cache verify)"
				  : "I/O error");
	return EIO;
}

void ops_fill_entry(const struct ops *ops, const struct node *node,
		    struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){ .ino = node->id,
					  .attr_timeout = TIMEOUT_NEVER,
					  .entry_timeout = TIMEOUT_NEVER };
	tree_stat(ops->tree, node, &ret->attr);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ops *ops = ops_of(req);
	struct fuse_entry_param e = { .entry_timeout = TIMEOUT_NEVER };
	struct node node;
	int r = tree_lookup(ops->tree, parent, name, strlen(name), &node);
	if (r == 0)
		ops_fill_entry(ops, &node, &e);
	/* Inode 0 with a timeout: the kernel remembers that the name is not there. */
	if (r == 0 || (r == -ENOENT && ops_has(ops, FEATURE_NEGATIVE)))
		(void)fuse_reply_entry(req, &e);
	else
		(void)fuse_reply_err(req, ops_errno(ops, r, "LOOKUP", parent));
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *ops = ops_of(req);
	struct node node;
	struct stat st;
	(void)fi;
	int r = tree_node(ops->tree, ino, &node);
	if (r < 0) {
		(void)fuse_reply_err(req, ops_errno(ops, r, "GETATTR", ino));
		return;
	}
	tree_stat(ops->tree, &node, &st);
	(void)fuse_reply_attr(req, &st, TIMEOUT_NEVER);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct ops *ops = ops_of(req);
	char target[4096];
	struct node node;
	const char *bytes;
	int r = tree_node(ops->tree, ino, &node);
	if (r == 0)
		r = image_readlink(node.image, &node.entry, &bytes);
	if (r == 0 && node.entry.size >= sizeof(target))
		r = -ENAMETOOLONG;
	if (r < 0) {
		(void)fuse_reply_err(req, ops_errno(ops, r, "READLINK", ino));
		return;
	}
	memcpy(target, bytes, node.entry.size);
	target[node.entry.size] = '\0';
	(void)fuse_reply_readlink(req, target);
}

/* No blocks, as /proc has none: df leaves it out rather than showing a disk that is full.
 */
void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	enum { BLOCK = 4096, NAME_MOST = 255 };
	const struct statvfs st = { .f_bsize = BLOCK,
				    .f_frsize = BLOCK,
				    .f_namemax = NAME_MOST };
	(void)ino;
	(void)fuse_reply_statfs(req, &st);
}
