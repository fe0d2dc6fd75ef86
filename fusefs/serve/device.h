/*
 * Mounting and unmounting: mount(2) as root, fusermount3 as an ordinary user. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/error.h"

struct device_options {
	const char *source;  /* first column of mount(8): what people see */
	const char *options; /* further ones with commas, checked; or "" */
	bool read_only;
};

/* What -o said. */
struct device_words {
	char *options;  /* for device_options; or "" */
	char *source;   /* of fsname=, or NULL */
	bool read_only; /* of ro and rw the last was ro */
};

/*
 * Checks what -o may hold: words that are always true here are dropped, those that can
 * not be honoured are refused with a text: -EINVAL, or -EPERM for suid and dev, which
 * only root may give who is not somebody else under sudo.
 */
int device_check_options(const char *wanted, struct device_words *ret,
			 struct error *reterr);
void device_words_release(struct device_words *words);

/*
 * Opens /dev/fuse and mounts it at the directory `path`: with default_permissions, and
 * nosuid and nodev unless the options say otherwise. Returns the descriptor; the kernel
 * waits for a server on it. As root the mount goes to dirfd, an O_PATH descriptor of the
 * directory, whatever `path` has become.
 */
int device_mount(const char *path, int dirfd, const struct device_options *options,
		 struct error *reterr);

/* -EBUSY: in use. With `lazy` it goes from sight at once and ends with its last user. */
int device_unmount(const char *path, bool lazy, struct error *reterr);

enum mounted {
	MOUNTED_NO,     /* no mount point */
	MOUNTED_VENVFS, /* ours is on top */
	MOUNTED_OTHER
};
/*
 * What is mounted at a canonical path, from mountinfo: asks no server, so it never hangs.
 * ret_type (of 64 bytes) gets the file system type.
 */
enum mounted device_look(const char *path, char *ret_type);
