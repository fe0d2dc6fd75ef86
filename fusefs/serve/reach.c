/*
 * A filter of system calls sees no paths, so a worker that somebody has taken over could
 * write wherever its user may: into a shell's start-up files, or into the cache, which
 * others are served from. So it is in a second Landlock domain, within that of
 * confine.c: it may change its own state directory, its upper and its lease, and read
 * the caches beside these. What was opened before (the log, /dev/fuse) goes on.
 *
 * A rule is about the directory that is there now, by its inode. One that is removed and
 * made again is not in reach, so what is needed later is reached by descriptors that are
 * open already, or is not missed: the directory of sockets comes and goes with a login,
 * and then a socket is made in the state directory.
 */
#include "fusefs/serve/reach.h"

#include "cache/base/cleanup.h"
#include "cache/base/file.h"
#include "cache/store/cache.h"
#include "fusefs/serve/landlock.h"
#include "fusefs/serve/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* What is done beneath a place. */
#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define KEEPING                                                                        \
	(READING | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |     \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_REFER | \
	 LANDLOCK_TRUNCATE)
#define SOCKETS (LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define REMOVING (LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR)
/* All that is not said to be allowed somewhere, executing excepted: see confine.c. */
#define LIMITED                                                                   \
	(KEEPING | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* What libraries and threads ask of the machine, and nothing of anybody's. */
static const char *const machine[] = {
	"/proc",        "/sys/devices/system/cpu",
	"/dev/urandom",
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	"/usr",         "/lib",
#endif
};

/* Where there is nothing, nothing needs to be allowed. */
static int allow_path(struct landlock *l, const char *path, uint64_t access)
{
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_PATH, 0);
	return fd < 0 ? 0 : landlock_allow(l, fd, access);
}

static int allow_parent(struct landlock *l, const char *path, uint64_t access)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent =
	    slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
	if (!parent)
		return slash ? -ENOMEM : 0;
	return allow_path(l, parent, access);
}

static int allow_caches(struct landlock *l, struct cache *cache)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < cache_count(cache); i++)
		r = landlock_allow(l, store_fd(cache_store(cache, i)), READING);
	cleanup_fd int leases =
	    file_open_beneath(store_fd(cache_own(cache)), "leases", O_PATH, 0);
	return r < 0 || leases < 0
		   ? r
		   : landlock_allow(l, leases, LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

static int allow_all(struct landlock *l, const struct plan *plan, struct cache *cache,
		     const char *state_path)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(machine) / sizeof(machine[0]); i++)
		r = allow_path(l, machine[i], READING);
	if (r == 0)
		r = allow_caches(l, cache);
	if (r == 0)
		r = allow_path(l, state_path, KEEPING);
	if (r == 0 && *plan->upper)
		r = allow_path(l, plan->upper, KEEPING);
	if (r == 0)
		r = allow_parent(l, plan->socket, SOCKETS);
	/* It removes both directories in the end. */
	if (r == 0 && plan->throwaway)
		r = allow_parent(l, state_path, REMOVING);
	return r == 0 && plan->throwaway ? allow_parent(l, plan->path, REMOVING) : r;
}

int reach_limit(const struct plan *plan, struct cache *cache, const char *state_path,
		struct error *reterr)
{
	CLEANUP(landlock_release) struct landlock l = LANDLOCK_INIT;
	int r = landlock_begin(&l, LIMITED);
	if (r == -EOPNOTSUPP)
		return 0;
	if (r == 0)
		r = allow_all(&l, plan, cache, state_path);
	if (r == 0)
		r = landlock_enter(&l);
	return r < 0 ? error_errno(reterr, r, "cannot enter a Landlock domain") : 0;
}
