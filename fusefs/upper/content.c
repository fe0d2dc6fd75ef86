#include "fusefs/upper/content_private.h"

#include "cache/base/file.h"
#include "fusefs/upper/upper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Neighbours in number lie in one folder: files that were made together are read
 * together. The numbers of a folder are 256 in a row, and the folders come round.
 */
enum { NAME_SIZE = 24, FOLDERS = 256 };

static void folder_of(uint64_t node, char ret_name[NAME_SIZE])
{
	(void)snprintf(ret_name, NAME_SIZE, "%02x",
		       (unsigned)(node >> 8) & (FOLDERS - 1));
}

static void path_of(uint64_t node, char ret_path[NAME_SIZE])
{
	(void)snprintf(ret_path, NAME_SIZE, "%02x/%014llx",
		       (unsigned)(node >> 8) & (FOLDERS - 1), (unsigned long long)node);
}

static struct content_set *set_of(struct upper *u, uint64_t node)
{
	return &u->content.sets[(node * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

void content_init(struct content *c)
{
	c->fd = -1;
	c->stage = -1;
	c->from = UINT64_MAX;
	for (size_t i = 0; i < CONTENT_SETS; i++) {
		(void)pthread_mutex_init(&c->sets[i].lock, NULL);
		for (size_t k = 0; k < CONTENT_WAYS; k++)
			c->sets[i].slots[k] = (struct content_slot){ .fd = -1 };
	}
}

void content_release(struct content *c)
{
	for (size_t i = 0; i < CONTENT_SETS; i++) {
		for (size_t k = 0; k < CONTENT_WAYS; k++)
			cleanup_close_fn(&c->sets[i].slots[k].fd);
		(void)pthread_mutex_destroy(&c->sets[i].lock);
	}
	cleanup_close_fn(&c->fd);
	cleanup_close_fn(&c->stage);
}

/* In place of what an earlier try opened: nobody uses content before there is a row. */
static int attach_one(int upper_fd, const char *name, bool create, int *ret_fd)
{
	cleanup_close_fn(ret_fd);
	*ret_fd = -1;
	int r = create ? file_make_dir_at(upper_fd, name, 0700) : 0;
	int fd = r < 0 ? r : file_open_beneath(upper_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int content_attach(struct content *c, int upper_fd, bool create)
{
	int r = attach_one(upper_fd, "files", create, &c->fd);
	return r < 0 ? r : attach_one(upper_fd, "staging", create, &c->stage);
}

/* O_NOATIME: an explicit atime is kept in the file, and reading it must not change it. */
static int open_file(struct upper *u, uint64_t node, int flags)
{
	char path[NAME_SIZE];
	path_of(node, path);
	mode_t mode = FILE_LASTING;
	int fd = file_open_beneath(u->content.fd, path, O_RDWR | O_NOATIME | flags, mode);
	return fd == -EPERM ? file_open_beneath(u->content.fd, path, O_RDWR | flags, mode)
			    : fd;
}

static bool empty_set(struct content_set *set)
{
	int fds[CONTENT_WAYS];
	size_t count = 0;
	(void)pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < CONTENT_WAYS; i++) {
		struct content_slot *slot = &set->slots[i];
		if (slot->users > 0 || slot->fd < 0)
			continue;
		fds[count++] = slot->fd;
		*slot = (struct content_slot){ .fd = -1 };
	}
	(void)pthread_mutex_unlock(&set->lock);
	for (size_t i = 0; i < count; i++)
		(void)close(fds[i]);
	return count > 0;
}

/* Without descriptors left those that are only kept are given up; true: try again. */
static bool has_made_room(struct upper *u, int fd)
{
	bool any = false;
	if (fd != -EMFILE && fd != -ENFILE)
		return false;
	for (size_t i = 0; i < CONTENT_SETS; i++)
		any |= empty_set(&u->content.sets[i]);
	return any;
}

/* A fifo or a device in the place of content is damage, or somebody's trick. */
static int open_regular(struct upper *u, uint64_t node, int flags)
{
	struct stat st;
	cleanup_fd int fd = open_file(u, node, flags | O_NONBLOCK);
	if (has_made_room(u, fd))
		fd = open_file(u, node, flags | O_NONBLOCK);
	if (fd < 0)
		return fd;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? steal_fd(&fd) : -EBADMSG;
}

/* Before its content is made. */
static void note_made(struct upper *u, uint64_t node)
{
	uint64_t bit = node % CONTENT_BITS;
	atomic_fetch_or(&u->content.made[bit / 64], UINT64_C(1) << (bit % 64));
}

static bool is_certainly_missing(struct upper *u, uint64_t node)
{
	uint64_t bit = node % CONTENT_BITS;
	return node >= u->content.from &&
	       !(atomic_load(&u->content.made[bit / 64]) >> (bit % 64) & 1);
}

static struct content_slot *find_slot(struct content_set *set, uint64_t node)
{
	for (size_t i = 0; i < CONTENT_WAYS; i++) {
		if (set->slots[i].node == node)
			return &set->slots[i];
	}
	return NULL;
}

static bool take_cached(struct content_set *set, uint64_t node, struct content_ref *ret)
{
	(void)pthread_mutex_lock(&set->lock);
	struct content_slot *slot = find_slot(set, node);
	if (slot) {
		slot->users++;
		slot->used = ++set->clock;
		*ret = (struct content_ref){ .fd = slot->fd, .set = set, .slot = slot };
	}
	(void)pthread_mutex_unlock(&set->lock);
	return slot != NULL;
}

static struct content_slot *oldest_free(struct content_set *set)
{
	struct content_slot *oldest = NULL;
	for (size_t i = 0; i < CONTENT_WAYS; i++) {
		struct content_slot *slot = &set->slots[i];
		if (slot->users == 0 && (!oldest || slot->used < oldest->used))
			oldest = slot;
	}
	return oldest;
}

/* Caches a descriptor, or leaves it to be closed when all are in use. */
static void give_to_cache(struct content_set *set, uint64_t node, struct content_ref *ref)
{
	int old = -1;
	(void)pthread_mutex_lock(&set->lock);
	struct content_slot *slot = find_slot(set, node) ? NULL : oldest_free(set);
	if (slot) {
		old = slot->fd;
		*slot = (struct content_slot){
			.node = node, .fd = ref->fd, .users = 1, .used = ++set->clock
		};
		ref->set = set;
		ref->slot = slot;
	}
	(void)pthread_mutex_unlock(&set->lock);
	cleanup_close_fn(&old);
}

static int open_ref(struct upper *u, uint64_t node, int flags, struct content_ref *ret)
{
	struct content_set *set = set_of(u, node);
	if (take_cached(set, node, ret))
		return 0;
	if (u->content.fd < 0)
		return -ENOENT;
	int fd = open_regular(u, node, flags);
	if (fd < 0)
		return fd;
	*ret = (struct content_ref){ .fd = fd };
	give_to_cache(set, node, ret);
	return 0;
}

int content_open(struct upper *u, uint64_t node, struct content_ref *ret)
{
	return atomic_load_explicit(&u->exists, memory_order_acquire) &&
		       !is_certainly_missing(u, node)
		   ? open_ref(u, node, 0, ret)
		   : -ENOENT;
}

int content_make(struct upper *u, uint64_t node, struct content_ref *ret, bool *ret_made)
{
	char folder[NAME_SIZE];
	*ret_made = false;
	if (take_cached(set_of(u, node), node, ret))
		return 0;
	note_made(u, node);
	/* Mostly it is missing. */
	int r = open_ref(u, node, O_CREAT | O_EXCL, ret);
	if (r == -ENOENT) {
		folder_of(node, folder);
		r = file_make_dir_at(u->content.fd, folder, 0700);
		if (r == 0)
			r = open_ref(u, node, O_CREAT | O_EXCL, ret);
	}
	*ret_made = r == 0;
	if (r == 0 && (node & NODE_UPPER))
		notes_add(u, node);
	return r == -EEXIST ? open_ref(u, node, 0, ret) : r;
}

void content_note(struct upper *u, uint64_t node)
{
	if (atomic_load_explicit(&u->armed, memory_order_relaxed))
		notes_add(u, node);
}

/* A slot without a node was removed while it was in use. */
void content_put(struct content_ref *ref)
{
	struct content_slot *slot = ref->slot;
	if (ref->set) {
		int old = -1;
		(void)pthread_mutex_lock(&ref->set->lock);
		if (--slot->users == 0 && slot->node == 0) {
			old = slot->fd;
			slot->fd = -1;
		}
		(void)pthread_mutex_unlock(&ref->set->lock);
		cleanup_close_fn(&old);
	} else {
		cleanup_close_fn(&ref->fd);
	}
	*ref = CONTENT_NONE;
}

int content_stat(struct upper *u, uint64_t node, struct stat *ret)
{
	char path[NAME_SIZE];
	struct content_ref ref;
	if (!atomic_load_explicit(&u->exists, memory_order_acquire) ||
	    is_certainly_missing(u, node))
		return -ENOENT;
	if (take_cached(set_of(u, node), node, &ref)) {
		int r = fstat(ref.fd, ret) < 0 ? -errno : 0;
		content_put(&ref);
		return r;
	}
	path_of(node, path);
	if (fstatat(u->content.fd, path, ret, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return S_ISREG(ret->st_mode) ? 0 : -EBADMSG;
}

static void stage_name(uint64_t node, char ret_name[NAME_SIZE])
{
	(void)snprintf(ret_name, NAME_SIZE, "%014llx", (unsigned long long)node);
}

int content_stage(struct upper *u, uint64_t node)
{
	char name[NAME_SIZE];
	enum { FLAGS = O_RDWR | O_CREAT | O_TRUNC };
	stage_name(node, name);
	int fd = file_open_beneath(u->content.stage, name, FLAGS, FILE_LASTING);
	return has_made_room(u, fd)
		   ? file_open_beneath(u->content.stage, name, FLAGS, FILE_LASTING)
		   : fd;
}

static int rename_staged(struct upper *u, uint64_t node)
{
	char name[NAME_SIZE];
	char path[NAME_SIZE];
	stage_name(node, name);
	path_of(node, path);
	return renameat(u->content.stage, name, u->content.fd, path) < 0 ? -errno : 0;
}

static int sync_folder(struct upper *u, const char *folder)
{
	cleanup_fd int fd =
	    file_open_beneath(u->content.fd, folder, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? fd : file_sync_dir(fd);
}

int content_publish(struct upper *u, uint64_t node, int fd, bool sync)
{
	char folder[NAME_SIZE];
	folder_of(node, folder);
	sync = sync && u->sync;
	note_made(u, node);
	if (sync && fdatasync(fd) < 0)
		return -errno;
	int r = rename_staged(u, node);
	if (r == -ENOENT) {
		r = file_make_dir_at(u->content.fd, folder, 0700);
		if (r == 0)
			r = rename_staged(u, node);
	}
	if (r < 0 || !sync)
		return r;
	r = sync_folder(u, folder);
	if (r < 0)
		(void)content_remove(u, node);
	return r;
}

static int link_file(struct upper *u, const char *from, const char *to)
{
	return linkat(u->content.fd, from, u->content.fd, to, 0) < 0 ? -errno : 0;
}

int content_link(struct upper *u, uint64_t from, uint64_t to)
{
	char from_path[NAME_SIZE];
	char to_path[NAME_SIZE];
	char folder[NAME_SIZE];
	struct stat st;
	int r = content_stat(u, from, &st);
	if (r < 0)
		return r;
	if (st.st_nlink > 1)
		return -EEXIST;
	note_made(u, to);
	path_of(from, from_path);
	path_of(to, to_path);
	folder_of(to, folder);
	r = content_remove(u, to);
	if (r == 0)
		r = file_make_dir_at(u->content.fd, folder, 0700);
	if (r == 0)
		r = link_file(u, from_path, to_path);
	if (r == 0 && u->sync)
		r = sync_folder(u, folder);
	return r == 0 && u->sync ? file_sync_dir(u->content.fd) : r;
}

void content_drop(struct upper *u, uint64_t node)
{
	char name[NAME_SIZE];
	stage_name(node, name);
	(void)unlinkat(u->content.stage, name, 0);
}

/* Nobody finds it any more; who uses it closes it. */
static void forget_cached(struct upper *u, uint64_t node)
{
	struct content_set *set = set_of(u, node);
	int old = -1;
	(void)pthread_mutex_lock(&set->lock);
	struct content_slot *slot = find_slot(set, node);
	if (slot && slot->users == 0) {
		old = slot->fd;
		*slot = (struct content_slot){ .fd = -1 };
	} else if (slot) {
		slot->node = 0;
	}
	(void)pthread_mutex_unlock(&set->lock);
	cleanup_close_fn(&old);
}

int content_remove(struct upper *u, uint64_t node)
{
	char path[NAME_SIZE];
	forget_cached(u, node);
	if (u->content.fd < 0)
		return 0;
	path_of(node, path);
	return unlinkat(u->content.fd, path, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int content_sync(struct upper *u, uint64_t node, bool data_only)
{
	struct content_ref ref;
	int r = content_open(u, node, &ref);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (u->sync && (data_only ? fdatasync(ref.fd) : fsync(ref.fd)) < 0)
		r = -errno;
	content_put(&ref);
	return r;
}

static int each_of_folder(int folder, content_visit *visit, void *context)
{
	cleanup_dir DIR *dir = file_list_dir(folder);
	const struct dirent *entry;
	int r = dir ? 0 : -errno;
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		char *end;
		uint64_t node = strtoull(entry->d_name, &end, 16);
		if (end != entry->d_name && *end == '\0')
			r = visit(context, node);
	}
	return r;
}

int content_each(struct upper *u, content_visit *visit, void *context)
{
	int r = 0;
	for (unsigned i = 0; r == 0 && i < FOLDERS; i++) {
		char name[NAME_SIZE];
		(void)snprintf(name, sizeof(name), "%02x", i);
		cleanup_fd int fd =
		    file_open_beneath(u->content.fd, name, O_RDONLY | O_DIRECTORY, 0);
		if (fd == -ENOENT)
			continue;
		r = fd < 0 ? fd : each_of_folder(fd, visit, context);
	}
	return r;
}
