/* The directory that a mount will cover. One thread. */
#pragma once

#include "cache/base/error.h"
#include "fusefs/serve/state.h"

struct broker;

struct mount_point {
	char *path; /* canonical */
	int fd;     /* O_PATH descriptor of the directory */
	int made;   /* how many directories were made for it */
};

#define MOUNT_POINT_INIT ((struct mount_point){ .fd = -1 })

/* Takes what a dead server left mounted at `path` away. The state's lock is held. -EBUSY:
 * something else is mounted there. */
int mount_point_clear(const struct state *state, const char *path,
		      const struct broker *broker, struct error *reterr);

/* Makes the directory when it is missing, and opens it. -ENOTEMPTY unless `over`. */
int mount_point_open(const char *path, bool over, struct mount_point *ret,
		     struct error *reterr);
/* Removes the directories that were made, after a mount that failed. */
void mount_point_undo(struct mount_point *point);
void mount_point_release(struct mount_point *point);
