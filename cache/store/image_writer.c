#include "cache/store/image_writer.h"

#include "cache/base/file.h"
#include "cache/store/image_build.h"
#include "cache/store/image_private.h"
#include "cache/store/stage.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* An object that was written to the stage and waits to be published. */
struct staged_object {
	uint32_t number; /* its name in the stage */
	struct digest id;
};

/* The file that begin_file() opened. */
struct open_file {
	bool open;
	uint32_t node;
	uint64_t expected;
	int fd; /* of the staged object, -1: the spool takes it */
	struct digest_stream *digest;
	struct buffer block; /* bytes of a block that is not full yet */
	uint64_t sums_at;    /* size of b.sums before the file */
};

struct image_writer {
	struct store *store; /* borrowed; NULL: a skeleton */
	struct stage *stage; /* made when first needed */
	struct image_build b;
	struct open_file file;
	struct buffer objects; /* of struct staged_object */
	uint32_t staged;
	uint32_t last; /* node that the setters speak of */
};

int64_t content_mtime(const struct digest *digest)
{
	/* The digest's bytes are big-endian: its low bits stand last. */
	uint32_t low;
	memcpy(&low, digest->bytes + sizeof(digest->bytes) - sizeof(low), sizeof(low));
	return IMAGE_EPOCH + (int64_t)(be32toh(low) & 0x3fffffff);
}

int image_writer_new(struct store *store, struct image_writer **ret)
{
	CLEANUP(image_writer_freep) struct image_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->store = store;
	w->file.fd = -1;
	w->file.digest = digest_stream_new();
	if (image_build_init(&w->b) < 0 || !w->file.digest)
		return -ENOMEM;
	*ret = steal_ptr(w);
	return 0;
}

void image_writer_free(struct image_writer *w)
{
	if (!w)
		return;
	image_build_release(&w->b);
	digest_stream_free(w->file.digest);
	buffer_release(&w->file.block);
	cleanup_close_fn(&w->file.fd);
	buffer_release(&w->objects);
	stage_free(w->stage);
	free(w);
}

static int set_target(struct image_build *b, struct node *n, const char *target)
{
	size_t size = target ? strlen(target) : 0;
	if (size == 0 || size >= 4096)
		return -EINVAL;
	n->data = b->targets.size;
	n->size = size;
	return buffer_append(&b->targets, target, size);
}

static int add_item(struct image_writer *w, const struct item *item, uint32_t *ret_node)
{
	uint32_t node;
	bool existed;
	int r = image_build_node(&w->b, item->path, &node, &existed);
	if (r < 0)
		return r;
	struct node *n = &w->b.nodes[node];
	if (existed && (item->type != ENTRY_DIRECTORY || n->type != ENTRY_DIRECTORY))
		return -EEXIST;
	n->type = item->type;
	n->mode = item->mode & 07777;
	n->flags = item->opaque ? FLAG_OPAQUE : 0;
	n->own_mtime = item->own_mtime;
	n->mtime = item->own_mtime ? item->mtime : IMAGE_EPOCH;
	n->mtime_nsec = item->own_mtime ? item->mtime_nsec % 1000000000 : 0;
	*ret_node = node;
	return item->type == ENTRY_SYMLINK ? set_target(&w->b, n, item->target) : 0;
}

int image_writer_add(struct image_writer *w, const struct item *item)
{
	uint32_t node;
	if (item->type == ENTRY_FILE || w->file.open)
		return -EINVAL;
	int r = add_item(w, item, &node);
	if (r == 0)
		w->last = node;
	return r;
}

static int need_stage(struct image_writer *w)
{
	return w->stage ? 0 : stage_new(w->store, &w->stage);
}

static int open_object(struct image_writer *w, int *ret_fd)
{
	char name[32];
	int r = need_stage(w);
	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "object%u", w->staged);
	int fd = file_open(stage_dirfd(w->stage), name,
			   O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int image_writer_begin_file(struct image_writer *w, const struct item *item,
			    uint64_t size)
{
	if (item->type != ENTRY_FILE || w->file.open || size > INT64_MAX)
		return -EINVAL;
	uint32_t node;
	int r = add_item(w, item, &node);
	if (r < 0)
		return r;
	struct open_file *f = &w->file;
	if (w->store && size >= w->store->object_threshold && size > 0) {
		r = open_object(w, &f->fd);
		if (r < 0)
			return r;
	}
	f->open = true;
	f->node = node;
	f->expected = size;
	f->sums_at = w->b.sums.size;
	f->block.size = 0;
	digest_stream_reset(f->digest);
	w->b.nodes[node].data = w->b.spool.size;
	w->last = node;
	return 0;
}

static int add_sum(struct image_writer *w, const void *block, size_t size)
{
	uint8_t sum[8];
	store_le64(sum, digest_sum64(block, size));
	return buffer_append(&w->b.sums, sum, sizeof(sum));
}

/* Adds to the block that is kept, and sums it once it is whole. */
static int keep_block(struct image_writer *w, const uint8_t *p, size_t size)
{
	struct buffer *block = &w->file.block;
	int r = buffer_append(block, p, size);
	if (r < 0 || block->size < IMAGE_BLOCK)
		return r;
	r = add_sum(w, block->data, block->size);
	block->size = 0;
	return r;
}

/* Sums whole blocks straight from the caller's bytes and keeps what is left of the last.
 */
static int sum_blocks(struct image_writer *w, const uint8_t *p, size_t size)
{
	int r = 0;
	while (r == 0 && size > 0) {
		size_t part = IMAGE_BLOCK - w->file.block.size;
		if (part > size)
			part = size;
		r = part == IMAGE_BLOCK ? add_sum(w, p, part) : keep_block(w, p, part);
		p += part;
		size -= part;
	}
	return r;
}

/* A nameless file needs a directory; memory serves where there is no store. */
static int spool_dir(struct image_writer *w)
{
	if (!w->store)
		return -1;
	return w->store->dirs[DIR_TMP];
}

/* Long zeros, of a sparse file mostly, take no room; end_object() sets the size. */
static int write_object(int fd, const void *bytes, size_t size)
{
	if (size < IMAGE_BLOCK || !bytes_are_zero(bytes, size))
		return file_write_all(fd, bytes, size);
	return lseek(fd, (off_t)size, SEEK_CUR) < 0 ? -errno : 0;
}

int image_writer_write(struct image_writer *w, const void *bytes, size_t size)
{
	struct open_file *f = &w->file;
	struct node *n = &w->b.nodes[f->node];
	if (!f->open || size > f->expected - n->size)
		return -EINVAL;
	n->size += size;
	digest_stream_add(f->digest, bytes, size);
	int r = f->expected > IMAGE_BLOCK ? sum_blocks(w, bytes, size) : 0;
	if (r < 0)
		return r;
	return f->fd >= 0 ? write_object(f->fd, bytes, size)
			  : spool_append(&w->b.spool, spool_dir(w), bytes, size);
}

static int end_object(struct image_writer *w, const struct digest *id)
{
	struct staged_object object = { .number = w->staged++, .id = *id };
	int fd = steal_fd(&w->file.fd);
	int r = ftruncate(fd, lseek(fd, 0, SEEK_CUR)) < 0 || fchmod(fd, 0444) < 0 ? -errno
										  : 0;
	/* Errors of delayed writes (NFS, quotas) show when the file is closed. */
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r < 0 ? r : buffer_append(&w->objects, &object, sizeof(object));
}

int image_writer_end_file(struct image_writer *w, const struct sha256 *sha256)
{
	struct open_file *f = &w->file;
	struct node *n = &w->b.nodes[f->node];
	if (!f->open || n->size != f->expected)
		return -EINVAL;
	f->open = false;
	n->digest = digest_stream_end(f->digest);
	if (!n->own_mtime)
		n->mtime = content_mtime(&n->digest);
	if (sha256) {
		n->has_sha256 = true;
		n->sha256 = *sha256;
	}
	int r = 0;
	if (f->block.size > 0)
		r = add_sum(w, f->block.data, f->block.size);
	n->sum = f->sums_at / 8;
	if (r == 0 && f->fd >= 0) {
		n->flags |= FLAG_OBJECT;
		n->data = 0;
		r = end_object(w, &n->digest);
	}
	return r;
}

int image_writer_add_file(struct image_writer *w, const struct item *item,
			  const void *bytes, size_t size, bool with_sha256)
{
	struct sha256 sha256;
	if (with_sha256)
		sha256 = sha256_of(bytes, size);
	int r = image_writer_begin_file(w, item, size);
	if (r == 0 && size > 0)
		r = image_writer_write(w, bytes, size);
	return r < 0 ? r : image_writer_end_file(w, with_sha256 ? &sha256 : NULL);
}

int image_writer_set_owner(struct image_writer *w, uint32_t uid, uint32_t gid)
{
	struct node *n = &w->b.nodes[w->last];
	n->has_owner = true;
	n->uid = uid;
	n->gid = gid;
	return 0;
}

int image_writer_add_xattr(struct image_writer *w, const char *name, const void *value,
			   uint32_t size)
{
	struct buffer *bytes = &w->b.xattr_bytes;
	size_t name_size = strlen(name);
	if (name_size == 0 || name_size > FORMAT_LONGEST_NAME || size > 64 << 10)
		return -EINVAL;
	struct node_xattr x = { .node = w->last,
				.name_at = (uint32_t)bytes->size,
				.name_size = (uint32_t)name_size,
				.value_at = (uint32_t)(bytes->size + name_size),
				.value_size = size };
	if (bytes->size > UINT32_MAX / 2)
		return -EFBIG;
	int r = buffer_append(bytes, name, name_size);
	if (r == 0)
		r = buffer_append(bytes, value, size);
	return r < 0 ? r : buffer_append(&w->b.xattrs, &x, sizeof(x));
}

int image_writer_set_hard_link(struct image_writer *w, const char *path)
{
	uint32_t of;
	int r = image_build_find(&w->b, path, &of);
	if (r < 0)
		return r;
	struct node *n = &w->b.nodes[w->last];
	const struct node *first = &w->b.nodes[of];
	if (of == w->last || first->type != n->type || n->type == ENTRY_DIRECTORY)
		return -EINVAL;
	n->has_link = true;
	n->link = first->has_link ? first->link : of;
	return 0;
}

int image_writer_set_record(struct image_writer *w, const char *text, size_t size)
{
	w->b.has_record = true;
	w->b.record.size = 0;
	return buffer_append(&w->b.record, text, size);
}

int image_writer_add_info(struct image_writer *w, enum info_key key, const char *value,
			  size_t size)
{
	uint8_t head[INFO_HEAD];
	if (size > 1 << 20 || w->b.info.size > 16 << 20)
		return -EFBIG;
	store_le32(head, (uint32_t)key);
	store_le32(head + 4, (uint32_t)size);
	int r = buffer_append(&w->b.info, head, sizeof(head));
	if (r == 0)
		r = buffer_append(&w->b.info, value, size);
	return r < 0 ? r : buffer_append_zeros(&w->b.info, -size & 3);
}

int image_writer_write_to(struct image_writer *w, int fd, uint64_t offset,
			  uint64_t *ret_size, struct digest *ret_id)
{
	return w->file.open ? -EINVAL
			    : image_build_write(&w->b, fd, offset, ret_size, ret_id);
}

static int publish_objects(struct image_writer *w, struct error *reterr)
{
	size_t count = w->objects.size / sizeof(struct staged_object);
	for (size_t i = 0; i < count; i++) {
		struct staged_object object;
		memcpy(&object, w->objects.data + i * sizeof(object), sizeof(object));
		char name[32];
		(void)snprintf(name, sizeof(name), "object%u", object.number);
		int r = stage_publish(w->stage, name, PUBLISH_OBJECT, &object.id, reterr);
		if (r < 0)
			return r;
	}
	return 0;
}

int image_writer_publish(struct image_writer *w, struct digest *ret_id,
			 struct error *reterr)
{
	if (!w->store || w->file.open)
		return -EINVAL;
	int r = need_stage(w);
	if (r < 0)
		return r;
	cleanup_fd int fd = file_open(stage_dirfd(w->stage), "image",
				      O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	uint64_t size;
	struct digest id;
	r = image_build_write(&w->b, fd, 0, &size, &id);
	if (r == 0 && fchmod(fd, 0444) < 0)
		r = -errno;
	if (r == 0 && close(steal_fd(&fd)) < 0)
		r = -errno;
	/* The image last: what it names is there before anybody can find it. */
	if (r == 0)
		r = publish_objects(w, reterr);
	if (r == 0)
		r = stage_publish(w->stage, "image", PUBLISH_IMAGE, &id, reterr);
	if (r == 0)
		*ret_id = id;
	return r;
}
