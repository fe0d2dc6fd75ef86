/*
 * Images and objects of a store, opened and checked.
 */
#include "cache/base/file.h"
#include "cache/store/image_private.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_file(struct store *store, int fd, const struct digest *id,
		     struct image **ret, struct error *reterr)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	CLEANUP(image_freep) struct image *image = NULL;
	int r = image_open(fd, 0, (uint64_t)st.st_size, store->dirs[DIR_OBJECTS], &image,
			   reterr);
	if (r < 0)
		return r;
	struct digest found = image_id(image);
	if (!digest_equal(&found, id) || image->size != (uint64_t)st.st_size)
		return error_set(reterr, -EBADMSG,
				 "the image is another or was cut short");
	*ret = steal_ptr(image);
	return 0;
}

int store_open_image(struct store *store, const struct digest *id, struct image **ret,
		     struct error *reterr)
{
	char path[ID_PATH_SIZE];
	store_id_path(id, path);
	cleanup_fd int fd = file_open_beneath(store->dirs[DIR_IMAGES], path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	int r = open_file(store, fd, id, ret, reterr);
	if (r < 0)
		return error_prefix(reterr, r, "image %.2s%s in '%s'", path, path + 3,
				    store->path);
	(*ret)->owns_fd = true;
	(void)steal_fd(&fd);
	return 0;
}

int store_check_image(struct store *store, int fd, const struct digest *id, bool content,
		      struct error *reterr)
{
	CLEANUP(image_freep) struct image *image = NULL;
	int r = open_file(store, fd, id, &image, reterr);
	return r < 0 ? r : image_check(image, content, reterr);
}

int store_check_published(struct store *store, const struct digest *id)
{
	char path[ID_PATH_SIZE];
	store_id_path(id, path);
	cleanup_fd int fd = file_open_beneath(store->dirs[DIR_IMAGES], path, O_RDONLY, 0);
	return fd < 0 ? fd : store_check_image(store, fd, id, true, NULL);
}

int store_check_object(int fd, const struct digest *id)
{
	enum { PART = 256 << 10 };
	cleanup_free uint8_t *bytes = malloc(PART);
	CLEANUP(digest_stream_freep) struct digest_stream *s = digest_stream_new();
	if (!bytes || !s)
		return -ENOMEM;
	for (off_t at = 0;;) {
		ssize_t n = pread(fd, bytes, PART, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		digest_stream_add(s, bytes, (size_t)n);
		at += n;
	}
	struct digest found = digest_stream_end(s);
	return digest_equal(&found, id) ? 0 : -EBADMSG;
}
