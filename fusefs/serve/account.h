/* A user whom a process of root's becomes, for good. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"

struct account {
	uid_t uid;
	gid_t gid;
	char *name, *home;
	gid_t *groups; /* all of them, the primary one too */
	int group_count;
};

/* By name, or by a number in digits. -ENOENT: there is no such user. */
int account_find(const char *name, struct account **ret, struct error *reterr);
void account_free(struct account *account);
DEFINE_CLEANUP(struct account *, account_free);

/*
 * From here on the process is the user's: no capability, no way back, and an environment
 * made from nothing but the user's entry in passwd, a PATH of system directories, and
 * what says how to speak (language, colours) or is ours (VENVFS_*).
 */
int account_become(const struct account *account, struct error *reterr);

/* May this process call mount(2) here? (In a user namespace that is no question of who
 * it is outside.) */
bool account_may_mount(void);

/*
 * Of a process that may mount only that right is left, for good, and what leads to a
 * mount point in a directory that is closed to root; execve() gains nothing. (Whoever
 * may not mount needs the set-uid fusermount3, so there is nothing to take away.)
 */
int account_keep_only_mounting(void);

/* No capability is left, nor can one be gained where that may be ruled out (the bounding
 * set is root's to narrow). Of the calling thread. */
int account_drop_capabilities(void);
