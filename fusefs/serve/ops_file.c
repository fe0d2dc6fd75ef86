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

static void reply_bytes(fuse_req_t req, const struct image_bytes *bytes)
{
	atomic_fetch_add_explicit(&ops_of(req)->shared->bytes_read, bytes->size,
				  memory_order_relaxed);
	(void)fuse_reply_buf(req, bytes->data, bytes->size);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	     struct fuse_file_info *fi)
{
	struct ops *ops = ops_of(req);
	struct scratch *scratch = scratch_take(ops);
	struct image_bytes bytes = { .data = NULL };
	(void)fi;
	if (size > READ_MOST)
		size = READ_MOST;
	int r = overlay_read(ops->overlay, ino, (uint64_t)offset, size, scratch->bytes,
			     &bytes);
	if (r < 0)
		ops_reply(req, r, "READ", ino);
	else
		reply_bytes(req, &bytes);
	scratch_give(scratch);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size,
	      off_t offset, struct fuse_file_info *fi)
{
	const struct caller caller = ops_caller(req);
	(void)fi;
	ssize_t n = overlay_write(ops_of(req)->overlay, &caller, ino, (uint64_t)offset,
				  bytes, size);
	if (n >= 0) {
		atomic_fetch_add_explicit(&ops_of(req)->shared->bytes_written,
					  (uint64_t)n, memory_order_relaxed);
		(void)fuse_reply_write(req, (size_t)n);
	} else {
		ops_reply(req, (int)n, "WRITE", ino);
	}
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)fi;
	ops_reply(req, overlay_sync(ops_of(req)->overlay, ino, datasync != 0), "FSYNC",
		  ino);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	const struct caller caller = ops_caller(req);
	(void)fi;
	int r = overlay_allocate(ops_of(req)->overlay, &caller, ino, mode,
				 (uint64_t)offset, (uint64_t)length);
	ops_reply(req, r, "FALLOCATE", ino);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
	      struct fuse_file_info *fi)
{
	uint64_t found;
	(void)fi;
	int r = offset < 0 ? -ENXIO
			   : overlay_seek(ops_of(req)->overlay, ino, (uint64_t)offset,
					  whence, &found);
	if (r == 0)
		(void)fuse_reply_lseek(req, (off_t)found);
	else
		ops_reply(req, r, "LSEEK", ino);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are libfuse's */
void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
			struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
			struct fuse_file_info *to_fi, size_t size, int flags)
{
	const struct caller caller = ops_caller(req);
	const struct overlay_copy copy = { .from = from,
					   .from_offset = (uint64_t)from_offset,
					   .to = to,
					   .to_offset = (uint64_t)to_offset,
					   .size = size };
	(void)from_fi;
	(void)to_fi;
	(void)flags;
	ssize_t n = overlay_copy(ops_of(req)->overlay, &caller, &copy);
	if (n >= 0)
		(void)fuse_reply_write(req, (size_t)n);
	else
		ops_reply(req, (int)n, "COPY_FILE_RANGE", to);
}
