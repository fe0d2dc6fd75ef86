#include "fusefs/serve/request.h"

#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>

/* libfuse calls its operations with no place for this. */
static _Thread_local struct request current;

const struct request *request_current(void)
{
	return &current;
}

static bool wants_kill(const struct fuse_in_header *header, size_t size)
{
	const void *body = header + 1;
	size_t rest = size - sizeof(*header);
	struct fuse_write_in write;
	struct fuse_setattr_in setattr;
	if (header->opcode == FUSE_WRITE && rest >= sizeof(write)) {
		memcpy(&write, body, sizeof(write));
		return (write.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
	}
	if (header->opcode == FUSE_SETATTR && rest >= sizeof(setattr)) {
		memcpy(&setattr, body, sizeof(setattr));
		return (setattr.valid & FATTR_KILL_SUIDGID) != 0;
	}
	/* These two come without a flag: whoever is not root loses the bits. */
	return (header->opcode == FUSE_FALLOCATE ||
		header->opcode == FUSE_COPY_FILE_RANGE) &&
	       header->uid != 0;
}

bool request_begin(void *message, size_t size, unsigned slot, bool again)
{
	struct fuse_in_header *header = message;
	if (size < sizeof(*header))
		return false;
	current =
	    (struct request){ .message = message,
			      .slot = slot,
			      .size = size,
			      .opcode = header->opcode,
			      .unique = header->unique & ~REQUEST_RESENT,
			      .again = again || (header->unique & REQUEST_RESENT) != 0,
			      .kill_privileges = wants_kill(header, size),
			      .tmpfile = header->opcode == FUSE_TMPFILE };
	/* A TMPFILE looks like a CREATE, and is answered like one. */
	if (current.tmpfile)
		header->opcode = FUSE_CREATE;
	return true;
}

void request_end(void)
{
	current = (struct request){ .message = NULL };
}

void request_patch_init(struct iovec *iov, int count, uint32_t wanted,
			uint32_t write_most)
{
	const struct fuse_in_header *header = current.message;
	struct fuse_init_in in;
	if (!header || current.opcode != FUSE_INIT || count < 2 ||
	    iov[1].iov_len <
		offsetof(struct fuse_init_out, max_write) + sizeof(uint32_t) ||
	    current.size < sizeof(*header) + offsetof(struct fuse_init_in, flags2))
		return;
	memset(&in, 0, sizeof(in));
	memcpy(&in, header + 1, offsetof(struct fuse_init_in, flags2));
	struct fuse_init_out *out = iov[1].iov_base;
	out->flags |= wanted & in.flags;
	if (out->max_write > write_most)
		out->max_write = write_most;
}
