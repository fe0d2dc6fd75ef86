/*
 * On a full disk removing must still work: it makes rows, and rows need room in the WAL
 * and, later, in the database. The WAL keeps room allocated beyond its end. The database
 * cannot, as SQLite cuts it to its size with each checkpoint; a file of its own keeps
 * that room and is given up when a checkpoint needs it. When the room cannot be had any
 * more, changes that add something are refused (upper_begin), while those that remove go
 * on in what is left.
 */
#include "fusefs/upper/upper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool keep(int fd, int mode, uint64_t size)
{
	if (fd < 0 || fallocate(fd, mode, 0, (off_t)size) == 0)
		return true;
	/* A file system that cannot keep room is no full one. */
	return errno != ENOSPC && errno != EDQUOT;
}

/* On a full disk as much as there is, so that what was given up is not lost to others. */
static bool keep_file(int fd)
{
	enum { STEP = 64 << 10 };
	struct stat st = { .st_size = 0 };
	if (keep(fd, 0, RESERVE / 2))
		return true;
	(void)fstat(fd, &st);
	while (keep(fd, 0, (uint64_t)st.st_size + STEP))
		st.st_size += STEP;
	return false;
}

void reserve_refill(struct upper *u)
{
	bool has =
	    keep(u->wal_fd, FALLOC_FL_KEEP_SIZE, RESERVE) && keep_file(u->reserve_fd);
	atomic_store(&u->low, !has);
}

void reserve_release(struct upper *u)
{
	if (u->reserve_fd >= 0 && ftruncate(u->reserve_fd, 0) < 0)
		atomic_store(&u->low, true);
}
