/*
 * `base` beside the rows: index.db and that file cannot change in one step of the disk.
 * So the new text waits in base.new, whose first line is the number of the change that
 * belongs to it. When meta has come so far the text counts; before, it never did.
 */
#include "cache/base/file.h"
#include "fusefs/upper/upper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST_BASE = 64 << 20 };

static const char staged_name[] = "base.new";

static int write_staged(struct upper *u, uint64_t change, const void *text, size_t size)
{
	cleanup_buffer struct buffer all = BUFFER_INIT;
	int r = buffer_printf(&all, "%" PRIu64 "\n", change);
	if (r == 0)
		r = buffer_append(&all, text, size);
	if (r == 0)
		r = file_replace_lasting_at(u->fd, staged_name, all.data, all.size,
					    u->sync);
	return r == 0 && u->sync ? file_sync_dir(u->fd) : r;
}

int upper_base_announce(struct upper *u)
{
	return write_staged(u, UINT64_MAX, "", 0);
}

int upper_base_stage(struct upper *u, const void *text, size_t size)
{
	/* A number that is this change's even where no row was written. */
	return write_staged(u, ++u->change, text, size);
}

void upper_base_drop(struct upper *u)
{
	(void)unlinkat(u->fd, staged_name, 0);
}

bool upper_base_is_staged(int upper_fd)
{
	return faccessat(upper_fd, staged_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The number of a staged text and where the text begins; -EBADMSG. */
static int read_staged(struct upper *u, struct buffer *out, uint64_t *ret_change,
		       const char **ret_text)
{
	int r = file_read_at(u->fd, staged_name, LARGEST_BASE, out);
	const char *text = r == 0 ? buffer_cstr(out) : NULL;
	if (!text)
		return r < 0 ? r : -ENOMEM;
	char *end;
	errno = 0;
	*ret_change = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\n' || errno != 0)
		return -EBADMSG;
	*ret_text = end + 1;
	return 0;
}

int upper_base_settle(struct upper *u)
{
	cleanup_buffer struct buffer staged = BUFFER_INIT;
	uint64_t change;
	const char *text;
	int r = u->sync && fdatasync(u->wal_fd) < 0 ? -errno : 0;
	if (r == 0)
		r = read_staged(u, &staged, &change, &text);
	if (r == 0)
		r = file_replace_lasting_at(u->fd, "base", text, strlen(text), u->sync);
	if (r == 0 && u->sync)
		r = file_sync_dir(u->fd);
	if (r == 0)
		upper_base_drop(u);
	return r;
}

/* Either way there may be content that no row knows: of before, or for after. */
int upper_base_recover(struct upper *u)
{
	cleanup_buffer struct buffer staged = BUFFER_INIT;
	uint64_t change = 0;
	const char *text;
	int r = read_staged(u, &staged, &change, &text);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = upper_sweep(u);
	if (r < 0)
		return r;
	if (change > u->change) {
		upper_base_drop(u);
		return 0;
	}
	return upper_base_settle(u);
}
