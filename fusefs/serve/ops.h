/*
 * FUSE requests as adapters: each decodes, calls one function of the overlay, and replies
 * exactly once. Private to fusefs/serve; any serving thread.
 */
#pragma once

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "fusefs/overlay/changes.h"
#include "fusefs/serve/features.h"
#include "fusefs/serve/test_death.h"
#include "fusefs/supervise/shared.h"

struct log;

enum {
	READ_MOST = 1 << 20, /* bytes of one READ or listing */
	WRITE_MOST =
	    256 << 10, /* of one WRITE: buffers that hold one are locked memory */
	OPCODES = SHARED_OPCODES,
};

/* Memory that one request at a time may use. */
struct scratch {
	atomic_flag busy;
	uint8_t *bytes; /* IMAGE_SCRATCH(READ_MOST) */
};

/* What a request needs: fuse_req_userdata(). Frozen but for the atomics. */
struct ops {
	struct overlay *overlay;
	struct log *log;
	struct shared *shared; /* counters */
	bool replaying;        /* no reply is sent: it was, in an earlier server's time */
	unsigned features;     /* that the kernel has and that are not masked */
	struct scratch *scratches; /* one for each thread that can serve at once */
	unsigned scratch_count;
	struct test_death death;
};

static inline struct ops *ops_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline bool ops_has(const struct ops *ops, enum feature feature)
{
	return (ops->features & feature) != 0;
}

/* After a failure scratches_free() takes what there is. */
int scratches_make(struct ops *ops, unsigned count);
void scratches_free(struct ops *ops);
/* Never NULL: there are as many as threads. Give it back after the reply. */
struct scratch *scratch_take(struct ops *ops);
void scratch_give(struct scratch *scratch);

/* What changes under a mount changes through it, so what the kernel has learnt stays
 * true. Seconds. */
#define TIMEOUT_NEVER 1e9

/* The errno for the kernel; damage becomes EIO and a line in the log, and what the server
 * is short of has one now and then. */
int ops_errno(struct ops *ops, int code, const char *request, uint64_t node);
struct caller ops_caller(fuse_req_t req);
void ops_fill_entry(const struct stat *st, struct fuse_entry_param *ret);
/* Replies with a node that was remembered; forgotten again when nobody listens. */
void ops_reply_entry(fuse_req_t req, const struct stat *st);
/* Replies with 0 or the error that `code` is. */
void ops_reply(fuse_req_t req, int code, const char *request, uint64_t node);

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	     struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size,
	      off_t offset, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
	      struct fuse_file_info *fi);
/* The order of parameters is libfuse's. */
void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
			struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
			struct fuse_file_info *to_fi, size_t size, int flags);

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
	       const char *to_name, unsigned flags);

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		 size_t size, int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
