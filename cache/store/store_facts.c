/*
 * Facts: small values that are cheap to make again, so they are neither flushed nor
 * trusted to be there. Each carries its own sum; one that does not match is as good as
 * absent. When a file was last asked for is its mtime, to a day.
 */
#include "cache/base/file.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST_FACT = 16 << 20, DAY = 24 * 3600, KEPT_DAYS = 30 };

static const char *const kinds[] = { "interpreters", "plans", "requires",
				     "builds",       "shims", "hashes" };
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static int fact_path(const char *kind, const struct digest *key, char ret_path[64])
{
	char hex[DIGEST_HEX_SIZE];
	digest_format(key, hex);
	int n = snprintf(ret_path, 64, "%s/%s", kind, hex);
	return n < 0 || n >= 64 ? -EINVAL : 0;
}

static void note_use(const struct store *store, int fd)
{
	struct stat st;
	if (store->writable && fstat(fd, &st) == 0 &&
	    time(NULL) - st.st_mtim.tv_sec > DAY)
		(void)futimens(fd, NULL);
}

int store_get_fact(struct store *store, const char *kind, const struct digest *key,
		   struct buffer *out)
{
	char path[64];
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	int r = fact_path(kind, key, path);
	cleanup_fd int fd = r < 0 ? r : file_open_beneath(store->fd, path, O_RDONLY, 0);
	r = fd < 0 ? fd : file_read_to_end(fd, LARGEST_FACT, &bytes);
	if (r < 0)
		return r == -EFBIG ? -ENOENT : r;
	struct digest sum;
	if (bytes.size < sizeof(sum))
		return -ENOENT;
	size_t size = bytes.size - sizeof(sum);
	sum = digest_of(bytes.data + sizeof(sum), size);
	if (memcmp(&sum, bytes.data, sizeof(sum)) != 0)
		return -ENOENT;
	note_use(store, fd);
	return buffer_append(out, bytes.data + sizeof(sum), size);
}

int store_put_fact(struct store *store, const char *kind, const struct digest *key,
		   const void *value, size_t size)
{
	char path[64];
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	if (!store->writable)
		return -EROFS;
	struct digest sum = digest_of(value, size);
	int r = fact_path(kind, key, path);
	if (r == 0)
		r = buffer_append(&bytes, &sum, sizeof(sum));
	if (r == 0)
		r = buffer_append(&bytes, value, size);
	if (r == 0)
		r = file_make_dir_at(store->fd, kind, 0700);
	return r < 0 ? r
		     : file_replace_at(store->fd, path, bytes.data, bytes.size, false);
}

static void sweep_kind(int dirfd)
{
	cleanup_dir DIR *dir = file_list_dir(dirfd);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		struct digest key;
		struct stat st;
		if (digest_parse(entry->d_name, &key) &&
		    fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    time(NULL) - st.st_mtim.tv_sec > (time_t)KEPT_DAYS * DAY)
			(void)unlinkat(dirfd, entry->d_name, 0);
	}
	file_sweep_asides(dirfd);
}

void store_sweep_facts(struct store *store)
{
	for (size_t i = 0; i < KINDS; i++) {
		cleanup_fd int fd =
		    file_open_beneath(store->fd, kinds[i], O_RDONLY | O_DIRECTORY, 0);
		if (fd >= 0)
			sweep_kind(fd);
	}
}
