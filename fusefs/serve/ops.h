/*
 * FUSE requests as adapters: each decodes, calls one function of the tree, and replies
 * exactly once. Private to fusefs/serve; any serving thread.
 */
#pragma once

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "fusefs/serve/features.h"
#include "fusefs/tree/tree.h"

struct log;

enum {
	READ_MOST = 1 << 20, /* bytes of one READ or listing */
	OPCODES = 64,
};

/* Memory that one request at a time may use. */
struct scratch {
	atomic_flag busy;
	uint8_t *bytes; /* IMAGE_SCRATCH(READ_MOST) */
};

/* What a request needs: fuse_req_userdata(). Frozen but for the atomics. */
struct ops {
	struct tree *tree;
	struct log *log;
	unsigned features;         /* that the kernel has and that are not masked */
	struct scratch *scratches; /* one for each serving thread */
	unsigned scratch_count;
};

static inline struct ops *ops_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline bool ops_has(const struct ops *ops, enum feature feature)
{
	return (ops->features & feature) != 0;
}

/* Never NULL: there are as many as threads. Give it back after the reply. */
struct scratch *scratch_take(struct ops *ops);
void scratch_give(struct scratch *scratch);

/* Nothing changes under a mount, so what the kernel has learnt stays true. Seconds. */
#define TIMEOUT_NEVER 1e9

/* The errno for the kernel; damage becomes EIO and a line in the log. */
int ops_errno(struct ops *ops, int code, const char *request, uint64_t node);
void ops_fill_entry(const struct ops *ops, const struct node *node,
		    struct fuse_entry_param *ret);

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	     struct fuse_file_info *fi);
