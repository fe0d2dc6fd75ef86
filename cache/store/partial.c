#include "cache/store/partial.h"

#include "cache/base/file.h"
#include "cache/store/stage.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { KEPT_SECONDS = 7 * 24 * 3600 };

static const char ending[] = ".part";

struct partial {
	struct store *store; /* borrowed */
	char name[DIGEST_HEX_SIZE + sizeof(ending)];
	char *path;
	int fd; /* the folder, locked */
};

/* -EAGAIN: who had it removed it meanwhile. */
static int open_locked(struct partial *p)
{
	int tmp = p->store->dirs[DIR_TMP];
	struct stat st;
	int r = file_make_dir_at(tmp, p->name, 0700);
	if (r < 0)
		return r;
	cleanup_fd int fd =
	    file_open(tmp, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd == -ENOENT ? -EAGAIN : fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return -EAGAIN;
	p->fd = steal_fd(&fd);
	return 0;
}

int partial_open(struct store *store, const struct digest *key, struct partial **ret)
{
	char hex[DIGEST_HEX_SIZE];
	if (!store->writable)
		return -EROFS;
	CLEANUP(partial_freep) struct partial *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->store = store;
	p->fd = -1;
	digest_format(key, hex);
	(void)snprintf(p->name, sizeof(p->name), "%s%s", hex, ending);
	if (asprintf(&p->path, "%s/tmp/%s", store->path, p->name) < 0) {
		p->path = NULL;
		return -ENOMEM;
	}
	int r;
	do {
		r = open_locked(p);
	} while (r == -EAGAIN);
	if (r < 0)
		return r;
	*ret = steal_ptr(p);
	return 0;
}

void partial_free(struct partial *p)
{
	if (!p)
		return;
	cleanup_close_fn(&p->fd);
	free(p->path);
	free(p);
}

void partial_remove(struct partial *p)
{
	if (p)
		(void)file_remove_tree_at(p->store->dirs[DIR_TMP], p->name);
	partial_free(p);
}

int partial_dirfd(const struct partial *p)
{
	return p->fd;
}

const char *partial_path(const struct partial *p)
{
	return p->path;
}

bool partial_is_kept(int fd, const char *name)
{
	size_t size = strlen(name);
	struct stat st;
	return size > strlen(ending) &&
	       strcmp(name + size - strlen(ending), ending) == 0 && fstat(fd, &st) == 0 &&
	       time(NULL) - st.st_mtim.tv_sec < KEPT_SECONDS;
}
