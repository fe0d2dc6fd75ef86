#include "cache/store/spool.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Beyond this a wheel's small files go to disk; several wheels are unpacked at once. */
enum { MEMORY_MOST = 64 << 20 };

void spool_release(struct spool *s)
{
	buffer_release(&s->memory);
	cleanup_close_fn(&s->fd);
	*s = SPOOL_INIT;
}

static int open_nameless(int dirfd)
{
	int fd = file_open(dirfd, ".", O_RDWR | O_TMPFILE, 0600);
	if (fd >= 0 || (fd != -EOPNOTSUPP && fd != -EISDIR && fd != -ENOENT))
		return fd;
	fd = file_open(dirfd, "spool", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd >= 0)
		(void)unlinkat(dirfd, "spool", 0);
	return fd;
}

static int move_to_disk(struct spool *s, int dirfd)
{
	s->fd = open_nameless(dirfd);
	if (s->fd < 0) {
		int code = s->fd;
		s->fd = -1;
		return code;
	}
	int r = file_write_all(s->fd, s->memory.data, s->memory.size);
	buffer_release(&s->memory);
	return r;
}

int spool_append(struct spool *s, int dirfd, const void *bytes, size_t size)
{
	int r = 0;
	if (s->fd < 0 && dirfd >= 0 && s->size + size > MEMORY_MOST)
		r = move_to_disk(s, dirfd);
	if (r == 0)
		r = s->fd >= 0 ? file_write_all(s->fd, bytes, size)
			       : buffer_append(&s->memory, bytes, size);
	if (r == 0)
		s->size += size;
	return r;
}

int spool_read(const struct spool *s, uint64_t offset, void *ret_bytes, size_t size)
{
	if (!range_inside(offset, size, s->size))
		return -EINVAL;
	if (s->fd >= 0)
		return file_pread_all(s->fd, ret_bytes, size, offset);
	if (size > 0)
		memcpy(ret_bytes, s->memory.data + offset, size);
	return 0;
}
