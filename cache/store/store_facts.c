/*
 * Facts: small values that are cheap to make again, so they are neither flushed nor
 * trusted to be there. Each carries its own sum; one that does not match is as good as
 * absent.
 */
#include "cache/base/file.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <stdio.h>

enum { LARGEST_FACT = 16 << 20 };

static int fact_path(const char *kind, const struct digest *key, char ret_path[64])
{
	char hex[DIGEST_HEX_SIZE];
	digest_format(key, hex);
	int n = snprintf(ret_path, 64, "%s/%s", kind, hex);
	return n < 0 || n >= 64 ? -EINVAL : 0;
}

int store_get_fact(struct store *store, const char *kind, const struct digest *key,
		   struct buffer *out)
{
	char path[64];
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	int r = fact_path(kind, key, path);
	if (r == 0)
		r = file_read_at(store->fd, path, LARGEST_FACT, &bytes);
	if (r < 0)
		return r == -EFBIG ? -ENOENT : r;
	struct digest sum;
	if (bytes.size < sizeof(sum))
		return -ENOENT;
	size_t size = bytes.size - sizeof(sum);
	sum = digest_of(bytes.data + sizeof(sum), size);
	if (memcmp(&sum, bytes.data, sizeof(sum)) != 0)
		return -ENOENT;
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
