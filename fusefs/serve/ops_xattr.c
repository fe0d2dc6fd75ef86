#include "fusefs/serve/ops.h"

#include <errno.h>
#include <string.h>

/* A size of 0 asks how much there is. */
static void reply_bytes(fuse_req_t req, size_t room, const struct buffer *bytes)
{
	if (room == 0)
		(void)fuse_reply_xattr(req, bytes->size);
	else if (bytes->size > room)
		(void)fuse_reply_err(req, ERANGE);
	else
		(void)fuse_reply_buf(req, (const char *)bytes->data, bytes->size);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	cleanup_buffer struct buffer value = BUFFER_INIT;
	int r = overlay_get_xattr(ops_of(req)->overlay, ino, name, &value);
	if (r < 0)
		ops_reply(req, r, "GETXATTR", ino);
	else
		reply_bytes(req, size, &value);
}

/* Names that only root may read are not shown to others, as on ext4. */
static void drop_trusted(struct buffer *names)
{
	static const char prefix[] = "trusted.";
	size_t kept = 0;
	for (size_t at = 0; at < names->size;) {
		const char *name = (const char *)names->data + at;
		size_t size = strlen(name) + 1;
		if (strncmp(name, prefix, strlen(prefix)) != 0) {
			memmove(names->data + kept, name, size);
			kept += size;
		}
		at += size;
	}
	names->size = kept;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	cleanup_buffer struct buffer names = BUFFER_INIT;
	int r = overlay_list_xattrs(ops_of(req)->overlay, ino, &names);
	if (fuse_req_ctx(req)->uid != 0)
		drop_trusted(&names);
	if (r < 0)
		ops_reply(req, r, "LISTXATTR", ino);
	else
		reply_bytes(req, size, &names);
}

static void set(fuse_req_t req, uint64_t node, const struct overlay_xattr *xattr,
		const char *request)
{
	const struct caller caller = ops_caller(req);
	struct overlay *overlay = ops_of(req)->overlay;
	int r = overlay_set_xattr(overlay, &caller, node, xattr);
	ops_reply(req, r, request, node);
	if (r == 0)
		overlay_release(overlay);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		 size_t size, int flags)
{
	const struct overlay_xattr xattr = {
		.name = name, .value = size ? value : "", .size = size, .flags = flags
	};
	set(req, ino, &xattr, "SETXATTR");
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	const struct overlay_xattr xattr = { .name = name };
	set(req, ino, &xattr, "REMOVEXATTR");
}
