#include "fusefs/overlay/counts.h"
#include "fusefs/serve/log.h"
#include "fusefs/serve/ops.h"
#include "fusefs/serve/request.h"
#include "fusefs/upper/rows.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

int ops_errno(struct ops *ops, int code, const char *request, uint64_t node)
{
	/* Nobody's fault in particular, and it looks like one of the files. */
	if (code == -EMFILE || code == -ENFILE || code == -ENOMEM)
		log_seldom(ops->log, "%s failed: %s", request, strerror(-code));
	if (code != -EBADMSG && code != -EIO)
		return -code;
	atomic_fetch_add_explicit(&ops->shared->errors, 1, memory_order_relaxed);
	bool is_upper = (node & NODE_UPPER) != 0;
	const char *why = code == -EIO ? "I/O error"
			  : is_upper
			      ? "what was changed in this mount is damaged"
			      : "the cache is damaged (venvfs cache verify), or what "
				"was changed in this mount";
	log_line(ops->log, "%s of inode %llu (%s %llu, entry %llu): %s", request,
		 (unsigned long long)node, is_upper ? "new, number" : "layer",
		 (unsigned long long)(is_upper ? node & ~NODE_UPPER : node >> 32),
		 (unsigned long long)(is_upper ? 0 : (uint32_t)node), why);
	return EIO;
}

struct caller ops_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	const struct request *r = request_current();
	return (struct caller){ .uid = ctx->uid,
				.gid = ctx->gid,
				.unique = r->unique,
				.again = r->again,
				.kill_privileges = r->kill_privileges };
}

void ops_fill_entry(const struct stat *st, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){ .ino = st->st_ino,
					  .attr = *st,
					  .attr_timeout = TIMEOUT_NEVER,
					  .entry_timeout = TIMEOUT_NEVER };
}

void ops_reply_entry(fuse_req_t req, const struct stat *st)
{
	struct ops *ops = ops_of(req);
	struct fuse_entry_param e;
	ops_fill_entry(st, &e);
	if (fuse_reply_entry(req, &e) < 0)
		overlay_forget(ops->overlay, st->st_ino, 1, NULL);
}

void ops_reply(fuse_req_t req, int code, const char *request, uint64_t node)
{
	(void)fuse_reply_err(req,
			     code < 0 ? ops_errno(ops_of(req), code, request, node) : 0);
}

/* `.` and `..` are asked for by who has a file handle: name_to_handle_at(2), NFS. */
static int look_up(struct overlay *o, uint64_t node, const char *name, struct stat *ret)
{
	uint64_t found = node;
	if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
		return overlay_lookup(o, node, name, ret);
	int r = name[1] ? overlay_parent(o, node, &found) : 0;
	return r < 0 ? r : overlay_find(o, found, ret);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ops *ops = ops_of(req);
	const struct fuse_entry_param nothing = { .entry_timeout = TIMEOUT_NEVER };
	struct stat st;
	int r = look_up(ops->overlay, parent, name, &st);
	if (r == 0)
		r = overlay_remember(ops->overlay, st.st_ino);
	if (r == 0)
		ops_reply_entry(req, &st);
	/* Inode 0 with a timeout: the kernel remembers that the name is not there. */
	else if (r == -ENOENT && ops_has(ops, FEATURE_NEGATIVE))
		(void)fuse_reply_entry(req, &nothing);
	else
		ops_reply(req, r, "LOOKUP", parent);
}

/* Each entry once, also where a server was killed between two of them. */
static void forget(fuse_req_t req, size_t i, uint64_t node, uint64_t count)
{
	struct ops *ops = ops_of(req);
	const struct request *r = request_current();
	const struct count_once once = {
		.entry = (uint32_t)i,
		.done = &ops->shared->slots[r->slot].forgotten,
	};
	overlay_forget(ops->overlay, node, count, &once);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	forget(req, 0, ino, nlookup);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(req, i, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, int code, const struct stat *st,
		       const char *request, uint64_t node)
{
	if (code == 0)
		(void)fuse_reply_attr(req, st, TIMEOUT_NEVER);
	else
		ops_reply(req, code, request, node);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	(void)fi;
	int r = overlay_stat(ops_of(req)->overlay, ino, &st);
	reply_attr(req, r, &st, "GETATTR", ino);
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	static const struct {
		int theirs;
		unsigned ours;
	} flags[] = {
		{ FUSE_SET_ATTR_MODE, SET_MODE },
		{ FUSE_SET_ATTR_UID, SET_UID },
		{ FUSE_SET_ATTR_GID, SET_GID },
		{ FUSE_SET_ATTR_SIZE, SET_SIZE },
		{ FUSE_SET_ATTR_ATIME, SET_ATIME },
		{ FUSE_SET_ATTR_MTIME, SET_MTIME },
		{ FUSE_SET_ATTR_ATIME_NOW, SET_ATIME_NOW },
		{ FUSE_SET_ATTR_MTIME_NOW, SET_MTIME_NOW },
	};
	const struct caller caller = ops_caller(req);
	unsigned wanted = 0;
	struct stat st;
	(void)fi;
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		wanted |= to_set & flags[i].theirs ? flags[i].ours : 0;
	if (wanted == 0)
		wanted = SET_TOUCH;
	int r = overlay_set(ops_of(req)->overlay, &caller, ino, wanted, attr, &st);
	reply_attr(req, r, &st, "SETATTR", ino);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	cleanup_buffer struct buffer target = BUFFER_INIT;
	int r = overlay_readlink(ops_of(req)->overlay, ino, &target);
	const char *text = r == 0 ? buffer_cstr(&target) : NULL;
	if (text)
		(void)fuse_reply_readlink(req, text);
	else
		ops_reply(req, r < 0 ? r : -ENOMEM, "READLINK", ino);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	int r = overlay_statfs(ops_of(req)->overlay, &st);
	if (r == 0)
		(void)fuse_reply_statfs(req, &st);
	else
		ops_reply(req, r, "STATFS", ino);
}
