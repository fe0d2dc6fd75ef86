/* Why a mount was refused, and what helps, in words. Any thread. */
#pragma once

#include <stdbool.h>

/* The end of what helps, where there is no FUSE to be had. */
#define REFUSAL_WITHOUT_FUSE "; or write a plain environment: venvfs export"

struct refusal {
	const char *line;    /* the last that fusermount3 said, without its name */
	long fs_type;        /* of statfs(2), of the mount point */
	bool under_apparmor; /* there is a profile for fusermount3 */
};

/* What the user can do about it; "" when the line says it all. */
const char *refusal_remedy(const struct refusal *refusal);
/* What people call the file system over which fusermount3 will not mount. */
const char *refusal_fs_name(long fs_type);

/* What helps when open(2) of /dev/fuse, or mount(2), failed so; "" when nothing is known.
 */
const char *refusal_of_device(int error);
const char *refusal_of_mount(int error);
