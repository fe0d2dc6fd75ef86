#include "cache/wheel/wheel_bytes.h"

#include "cache/base/file.h"
#include "cache/wheel/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { PART = 256 << 10 };

struct wheel_bytes {
	const struct wheel *wheel;
	uint32_t next;
	struct archive_reader *archive; /* of a zip file; else NULL */
	int fd;                         /* of a folder's file; -1: of a directory */
	uint8_t *bytes;
};

int wheel_bytes_open(const struct wheel *wheel, uint32_t first, uint32_t end,
		     struct wheel_bytes **ret, struct error *reterr)
{
	CLEANUP(wheel_bytes_freep) struct wheel_bytes *b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	*b = (struct wheel_bytes){ .wheel = wheel, .next = first, .fd = -1 };
	if (wheel->is_folder) {
		b->bytes = malloc(PART);
		if (!b->bytes)
			return -ENOMEM;
	} else {
		const struct zip_member *members = wheel->zip.members;
		int r = archive_open(wheel->fd, members[first].header,
				     members[end - 1].end, &b->archive, reterr);
		if (r < 0)
			return r;
	}
	*ret = steal_ptr(b);
	return 0;
}

void wheel_bytes_free(struct wheel_bytes *b)
{
	if (!b)
		return;
	archive_reader_free(b->archive);
	cleanup_close_fn(&b->fd);
	free(b->bytes);
	free(b);
}

static int open_file(struct wheel_bytes *b, const struct zip_member *m,
		     struct error *reterr)
{
	cleanup_close_fn(&b->fd);
	b->fd = -1;
	if (m->is_directory)
		return 0;
	b->fd = file_open_beneath(b->wheel->fd, m->name, O_RDONLY | O_NONBLOCK, 0);
	return b->fd < 0 ? error_errno(reterr, b->fd, "cannot read '%s'", m->name) : 0;
}

int wheel_bytes_next(struct wheel_bytes *b, struct error *reterr)
{
	const struct zip_member *m = &b->wheel->zip.members[b->next++];
	const char *name;
	if (!b->archive)
		return open_file(b, m, reterr);
	int r = archive_next(b->archive, &name, reterr);
	/* Both must read the same file, or one of them was led astray. */
	if (r == 0 || (r > 0 && name && strcmp(name, m->name) != 0))
		return error_set(reterr, -EBADMSG,
				 "member '%s' is not where it should be", m->name);
	return r < 0 ? r : 0;
}

int wheel_bytes_read(struct wheel_bytes *b, const void **ret_bytes, size_t *ret_size,
		     struct error *reterr)
{
	if (b->archive)
		return archive_read(b->archive, ret_bytes, ret_size, reterr);
	ssize_t n = 0;
	if (b->fd >= 0) {
		do {
			n = read(b->fd, b->bytes, PART);
		} while (n < 0 && errno == EINTR);
	}
	if (n < 0)
		return error_errno(reterr, -errno, "cannot read it");
	*ret_bytes = b->bytes;
	*ret_size = (size_t)n;
	return 0;
}
