/*
 * Content: read with pread(2), never through the map, and checked block by block before
 * any of it is handed out. A file of one block is checked against its entry's digest, a
 * longer one against the sums of its blocks.
 */
#include "cache/base/file.h"
#include "cache/store/image_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int image_open_object(struct image *image, const struct entry *entry)
{
	if (!entry->in_object) {
		int fd = fcntl(image->fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	char hex[DIGEST_HEX_SIZE];
	char path[DIGEST_HEX_SIZE + 1];
	digest_format(&entry->digest, hex);
	(void)snprintf(path, sizeof(path), "%.2s/%s", hex, hex + 2);
	if (image->objects_fd < 0)
		return -EBADMSG;
	int fd = file_open_beneath(image->objects_fd, path, O_RDONLY, 0);
	/* An image is published after its objects: one that is missing was lost. */
	return fd == -ENOENT ? -EBADMSG : fd;
}

static int check_blocks(struct image *image, const struct entry *entry, uint64_t first,
			const uint8_t *bytes, size_t size)
{
	if (entry->size <= IMAGE_BLOCK) {
		struct digest found = digest_of(bytes, size);
		return digest_equal(&found, &entry->digest) ? 0 : -EBADMSG;
	}
	for (uint64_t i = first; size > 0; i++) {
		size_t part = size < IMAGE_BLOCK ? size : IMAGE_BLOCK;
		const uint8_t *sum =
		    image_row(image, SECTION_SUMS, entry->first_sum + i, 8);
		if (!sum || load_le64(sum) != digest_sum64(bytes, part))
			return -EBADMSG;
		bytes += part;
		size -= part;
	}
	return 0;
}

static int read_blocks(struct image *image, const struct entry *entry, uint64_t start,
		       size_t size, void *ret_bytes)
{
	int r;
	if (entry->in_object) {
		cleanup_fd int fd = image_open_object(image, entry);
		if (fd < 0)
			return fd;
		r = file_pread_all(fd, ret_bytes, size, start);
	} else {
		r = file_pread_all(image->fd, ret_bytes, size,
				   image->offset + entry->data + start);
	}
	return r == -ENODATA ? -EBADMSG : r; /* cut short */
}

int image_read(struct image *image, const struct entry *entry, uint64_t offset,
	       size_t size, void *scratch, struct image_bytes *ret)
{
	if (entry->type != ENTRY_FILE)
		return -EINVAL;
	if (size == 0 || offset >= entry->size) {
		*ret = (struct image_bytes){ .data = scratch };
		return 0;
	}
	if (size > entry->size - offset)
		size = (size_t)(entry->size - offset);
	uint64_t first = offset / IMAGE_BLOCK;
	uint64_t start = first * IMAGE_BLOCK;
	uint64_t end = block_count(offset + size) * IMAGE_BLOCK;
	if (end > entry->size)
		end = entry->size;
	int r = read_blocks(image, entry, start, (size_t)(end - start), scratch);
	if (r == 0)
		r = check_blocks(image, entry, first, scratch, (size_t)(end - start));
	if (r < 0)
		return r;
	ret->data = (const uint8_t *)scratch + (offset - start);
	ret->size = size;
	return 0;
}

int image_read_file(struct image *image, const struct entry *entry, size_t limit,
		    struct buffer *out)
{
	if (entry->size > limit)
		return -EFBIG;
	int r = buffer_reserve(out, IMAGE_SCRATCH((size_t)entry->size));
	if (r < 0)
		return r;
	struct image_bytes bytes;
	r = image_read(image, entry, 0, (size_t)entry->size, out->data + out->size,
		       &bytes);
	if (r == 0)
		out->size +=
		    bytes
			.size; /* from offset 0 the bytes stand at the start of scratch */
	return r;
}
