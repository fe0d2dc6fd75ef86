/* The mount table, from mountinfo: asks no server, so it never hangs. Any thread. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* The file system type of our mounts. */
#define MOUNTS_TYPE "fuse.venvfs"

/* Borrowed for the time of a visit. */
struct mount_row {
	int id;
	unsigned major, minor;
	const char *point, *type;
	const char *options; /* of the file system: user_id=... */
};

/* Calls `visit` for each mount, those on top last, until it returns something else than
 * 0, which is returned. -errno when there is no table. */
typedef int mounts_visit(void *context, const struct mount_row *row);
int mounts_each(mounts_visit *visit, void *context);

/* The mount that an open file lies in: from the descriptor itself, which asks no server;
 * -1 when there is no telling. */
int mounts_id_of(int fd);

/* The user of our mount at a canonical path; false when it is not ours that is on top. */
bool mounts_user_at(const char *path, uid_t *ret_uid);

/* Is it ours? Then also whom it serves. */
bool mounts_is_ours(const struct mount_row *row, uid_t *ret_uid);
/* Is it ours, serving this user? */
bool mounts_is_of(const struct mount_row *row, uid_t uid);
