/*
 * Mounting and unmounting: mount(2) by whoever may, fusermount3 otherwise. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cache/base/error.h"

struct broker; /* broker.h: who has root's rights, when this process has left them */

struct device_options {
	const char *source;  /* first column of mount(8): what people see */
	const char *options; /* further ones with commas, checked; or "" */
	bool read_only;
	const struct broker *broker; /* or NULL */
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

/*
 * The two steps apart, for whoever may call mount(2) (account.h): /dev/fuse, which a
 * server can be given before there is a mount, and mounting what was opened so.
 */
int device_open(struct error *reterr);
int device_mount_opened(const char *path, int dirfd, int fd,
			const struct device_options *options, struct error *reterr);

/* The same by mount(2), for a user whom this process need not be; for another than
 * itself always nosuid and nodev. */
int device_mount_for(const char *path, int dirfd, const struct device_options *options,
		     uid_t uid, gid_t gid, struct error *reterr);

/* -EBUSY: in use. With `lazy` it goes from sight at once and ends with its last user.
 * `broker` may be NULL. */
int device_unmount(const char *path, bool lazy, const struct broker *broker,
		   struct error *reterr);

/*
 * The same by umount2(2), of what lies at the last part of `path` in the directory
 * `parent`, if that is a mount of ours that serves `uid`: whatever the rest of the path
 * has become.
 */
#define DEVICE_ANY_USER ((uid_t)-1)
int device_unmount_in(int parent, const char *path, bool lazy, uid_t uid,
		      struct error *reterr);
/* The directory that the last part of a canonical path lies in, O_PATH. */
int device_open_parent(const char *path);

/*
 * The kernel reads ahead 128 KiB at a time on FUSE whatever INIT agreed on; root may ask
 * for more. Without the right to do so reads are smaller, and that is all.
 */
void device_read_ahead(dev_t device);

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
