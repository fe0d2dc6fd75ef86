#include "cache/store/stage.h"

#include "cache/base/file.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

struct stage {
	struct store *store; /* borrowed */
	char name[2 * 8 + 1];
	int fd; /* the directory, locked */
};

/* Makes tmp/<random> and locks it. A cleaner may have it before us: then there is
 * another. */
static int make_locked_dir(struct stage *stage)
{
	uint8_t random[8];
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	hex_encode(random, sizeof(random), stage->name);
	int tmp = stage->store->dirs[DIR_TMP];
	if (mkdirat(tmp, stage->name, 0700) < 0)
		return -errno;
	cleanup_fd int fd =
	    file_open(tmp, stage->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd == -ENOENT ? -EAGAIN : fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return -EAGAIN;
	stage->fd = steal_fd(&fd);
	return 0;
}

/* What killed processes left (the locks of their stages are free), and what is old. */
static void clean_up(struct store *store)
{
	cleanup_dir DIR *dir = file_list_dir(store->dirs[DIR_TMP]);
	if (!dir)
		return;
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		cleanup_fd int fd = file_open(store->dirs[DIR_TMP], entry->d_name,
					      O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
		if (fd >= 0 && !partial_is_kept(fd, entry->d_name) &&
		    flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)file_remove_tree_at(store->dirs[DIR_TMP], entry->d_name);
	}
	file_sweep_asides(store->dirs[DIR_WHEELS]);
	file_sweep_asides(store->dirs[DIR_FOLDERS]);
	file_sweep_asides(store->dirs[DIR_SEEN]);
	store_sweep_facts(store);
}

int stage_new(struct store *store, struct stage **ret)
{
	if (!store->writable)
		return -EROFS;
	CLEANUP(stage_freep) struct stage *stage = calloc(1, sizeof(*stage));
	if (!stage)
		return -ENOMEM;
	stage->store = store;
	stage->fd = -1;
	if (!atomic_flag_test_and_set(&store->cleaned))
		clean_up(store);
	int r;
	do {
		r = make_locked_dir(stage);
	} while (r == -EAGAIN || r == -EEXIST);
	if (r < 0)
		return r;
	*ret = steal_ptr(stage);
	return 0;
}

void stage_free(struct stage *stage)
{
	if (!stage)
		return;
	if (stage->fd >= 0) {
		(void)file_remove_tree_at(stage->store->dirs[DIR_TMP], stage->name);
		(void)close(stage->fd);
	}
	free(stage);
}

int stage_dirfd(const struct stage *stage)
{
	return stage->fd;
}

static bool same_bytes(int a, int b)
{
	enum { PART = 128 << 10 };
	cleanup_free uint8_t *bytes = malloc((size_t)2 * PART);
	struct stat sa;
	struct stat sb;
	if (!bytes || fstat(a, &sa) < 0 || fstat(b, &sb) < 0 || sa.st_size != sb.st_size)
		return false;
	for (off_t at = 0; at < sa.st_size; at += PART) {
		size_t size = sa.st_size - at < PART ? (size_t)(sa.st_size - at) : PART;
		if (file_pread_all(a, bytes, size, (uint64_t)at) < 0 ||
		    file_pread_all(b, bytes + PART, size, (uint64_t)at) < 0 ||
		    memcmp(bytes, bytes + PART, size) != 0)
			return false;
	}
	return true;
}

/* The id is taken. By the same bytes, by a file that is damaged, or by other bytes? */
static int settle_existing(struct stage *stage, const char *name, enum publish_kind kind,
			   const struct digest *id, struct error *reterr)
{
	int to_dir =
	    stage->store->dirs[kind == PUBLISH_OBJECT ? DIR_OBJECTS : DIR_IMAGES];
	char path[ID_PATH_SIZE];
	store_id_path(id, path);
	cleanup_fd int ours = file_open(stage->fd, name, O_RDONLY | O_NOFOLLOW, 0);
	cleanup_fd int theirs = file_open_beneath(to_dir, path, O_RDONLY, 0);
	if (ours < 0 || theirs < 0)
		return ours < 0 ? ours : theirs;
	if (same_bytes(ours, theirs))
		return 0;
	int intact = kind == PUBLISH_OBJECT
			 ? store_check_object(theirs, id)
			 : store_check_image(stage->store, theirs, id, true, NULL);
	if (intact == 0)
		return error_set(
		    reterr, -EEXIST,
		    "two contents with the one id %.2s%s; the new one is refused", path,
		    path + 3);
	return renameat(stage->fd, name, to_dir, path) < 0 ? -errno : 0;
}

static int rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* No RENAME_NOREPLACE on this file system (NFS): a link fails on what exists,
	 * too. */
	return linkat(from_dir, from, to_dir, to, 0) < 0 ? -errno : 0;
}

int stage_publish(struct stage *stage, const char *name, enum publish_kind kind,
		  const struct digest *id, struct error *reterr)
{
	int to_dir =
	    stage->store->dirs[kind == PUBLISH_OBJECT ? DIR_OBJECTS : DIR_IMAGES];
	char path[ID_PATH_SIZE];
	store_id_path(id, path);
	int r = rename_new(stage->fd, name, to_dir, path);
	if (r == -ENOENT) {
		path[2] = '\0';
		r = file_make_dir_at(to_dir, path, 0700);
		path[2] = '/';
		if (r == 0)
			r = rename_new(stage->fd, name, to_dir, path);
	}
	if (r == -EEXIST)
		r = settle_existing(stage, name, kind, id, reterr);
	return r;
}
