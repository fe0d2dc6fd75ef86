/*
 * What is left of root when a command runs for another user: a process that opens
 * /dev/fuse, mounts and unmounts, and nothing else. One thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cache/base/error.h"
#include "fusefs/serve/account.h"
#include "fusefs/serve/device.h"

/* The way to that process, in the one that has become the user. */
struct broker {
	int socket;
};

/*
 * Forks. In the child, which has become the user for good: 0 and *ret_broker. The parent
 * comes back when the child has ended, with 1 and *ret_status, the exit status to relay.
 * `terms` are all that is ever mounted; of later messages only read_only counts.
 */
int broker_split(const struct account *account, const struct device_options *terms,
		 struct broker *ret_broker, int *ret_status, struct error *reterr);

/* As device_mount() and device_unmount(), by the privileged process. -EPERM: the
 * directory, or the mount, is not the user's. */
int broker_mount(const struct broker *broker, const char *path, int dirfd, bool read_only,
		 struct error *reterr);
int broker_unmount(const struct broker *broker, const char *path, bool lazy,
		   struct error *reterr);
/* As device_read_ahead(). */
void broker_read_ahead(const struct broker *broker, dev_t device);
