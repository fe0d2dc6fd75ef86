/*
 * On a full disk removing must still work: it makes rows, and rows need room in the WAL
 * and, later, in the database. So both keep room allocated beyond their end. When it
 * cannot be had any more, changes that add something are refused (upper_begin), while
 * those that remove go on in what is left.
 */
#include "fusefs/upper/upper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static bool keep(int fd, uint64_t size)
{
	if (fd < 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) == 0)
		return true;
	/* A file system that cannot keep room is no full one. */
	return errno != ENOSPC && errno != EDQUOT;
}

void reserve_refill(struct upper *u)
{
	struct stat st = { .st_size = 0 };
	(void)fstat(u->db_fd, &st);
	bool has = keep(u->wal_fd, RESERVE) &&
		   keep(u->db_fd, (uint64_t)st.st_size + RESERVE / 2);
	atomic_store(&u->low, !has);
}
