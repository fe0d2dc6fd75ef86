#include "cli/export_tree.h"

#include "cache/base/file.h"
#include "fusefs/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/*
 * The directories are made first, by one thread, parents before children; then threads
 * take one after the other and write what lies in it. So no thread waits for another, and
 * a file costs one lookup of one name.
 */

enum { THREADS_MOST = 16, CHUNK = 1 << 20, LARGEST_TARGET = 4096 };

struct directory {
	uint64_t id;
	char *path; /* relative; "." is the root */
};

struct work {
	const struct export_request *request;
	struct directory *directories;
	size_t count, room;
	atomic_size_t next;
	atomic_bool stop;
	_Atomic(uint64_t) cloned, linked, copied;
	pthread_mutex_t lock;
	int result;       /* guarded by lock: the first that failed */
	struct error err; /* guarded by lock */
};

static void work_release(struct work *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->directories[i].path);
	free(w->directories);
	(void)pthread_mutex_destroy(&w->lock);
}

static int add_directory(struct work *w, uint64_t id, char *take_path)
{
	cleanup_free char *path = take_path;
	if (!path)
		return -ENOMEM;
	if (w->count == w->room) {
		size_t room = w->room ? 2 * w->room : 256;
		struct directory *grown =
		    reallocarray(w->directories, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		w->directories = grown;
		w->room = room;
	}
	w->directories[w->count++] =
	    (struct directory){ .id = id, .path = steal_ptr(path) };
	return 0;
}

/* A directory that is being visited. */
struct visit {
	struct work *work;
	const struct directory *directory;
	int dir;
	void *scratch;
};

static char *child_path(const struct directory *parent, const struct entry *e)
{
	char name[256];
	(void)snprintf(name, sizeof(name), "%.*s", (int)e->name_size, e->name);
	return strcmp(parent->path, ".") == 0 ? strdup(name)
					      : path_join(parent->path, name);
}

static int make_child(void *context, const struct node *child, uint64_t cookie)
{
	const struct visit *v = context;
	struct work *w = v->work;
	(void)cookie;
	if (child->entry.type != ENTRY_DIRECTORY)
		return 0;
	/* The array may move: the parent is a copy. */
	char *path = child_path(v->directory, &child->entry);
	if (path && mkdirat(w->request->dir, path, child->entry.mode) < 0) {
		free(path);
		return -errno;
	}
	return add_directory(w, child->id, path);
}

static int make_directories(struct work *w)
{
	int r = add_directory(w, TREE_ROOT, strdup("."));
	for (size_t i = 0; r == 0 && i < w->count; i++) {
		const struct directory parent = w->directories[i];
		struct visit v = { .work = w, .directory = &parent };
		r = tree_list(w->request->tree, parent.id, 0, make_child, &v);
	}
	return r;
}

/*
 * A link is the object itself, so it has its mode, 0444, which keeps everybody but root
 * from writing to it; root and programs get a copy.
 */
static bool try_link(const struct visit *v, const struct node *n, const char *name,
		     int object)
{
	char source[32];
	if (v->work->request->mode != LINK_HARDLINK || (n->entry.mode & 0111) ||
	    geteuid() == 0)
		return false;
	(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", object);
	return linkat(AT_FDCWD, source, v->dir, name, AT_SYMLINK_FOLLOW) == 0;
}

/* SIGINT and its kin are blocked, and looked for here. */
static bool is_interrupted(void)
{
	sigset_t pending;
	return sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) == 1 ||
					     sigismember(&pending, SIGTERM) == 1 ||
					     sigismember(&pending, SIGHUP) == 1);
}

/* Reads all of it, which checks it, and writes it unless it is there already. */
static int pour(const struct visit *v, const struct node *n, int fd)
{
	const struct entry *e = &n->entry;
	for (uint64_t at = 0; at < e->size;) {
		struct image_bytes bytes;
		size_t size = e->size - at < CHUNK ? (size_t)(e->size - at) : CHUNK;
		int r = image_read(n->image, e, at, size, v->scratch, &bytes);
		if (r == 0 && bytes.size == 0)
			return -EIO;
		if (r == 0 && e->size > CHUNK && is_interrupted())
			return -EINTR;
		if (r == 0 && fd >= 0)
			r = file_write_all(fd, bytes.data, bytes.size);
		if (r < 0)
			return r;
		at += bytes.size;
	}
	return 0;
}

static int set_mtime(int fd, const struct entry *e)
{
	const struct timespec time = { .tv_sec = e->mtime, .tv_nsec = e->mtime_nsec };
	const struct timespec times[] = { time, time };
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int write_object(const struct visit *v, const struct node *n, const char *name)
{
	struct work *w = v->work;
	cleanup_fd int object = image_open_object(n->image, &n->entry);
	if (object < 0)
		return object;
	if (try_link(v, n, name, object)) {
		(void)atomic_fetch_add(&w->linked, 1);
		return pour(v, n, -1);
	}
	cleanup_fd int fd =
	    file_open(v->dir, name, O_WRONLY | O_CREAT | O_EXCL, n->entry.mode & 0777);
	if (fd < 0)
		return fd;
	bool shared = w->request->mode != LINK_COPY && ioctl(fd, FICLONE, object) == 0;
	(void)atomic_fetch_add(shared ? &w->cloned : &w->copied, 1);
	int r = pour(v, n, shared ? -1 : fd);
	return r < 0 ? r : set_mtime(fd, &n->entry);
}

static int write_file(const struct visit *v, const struct node *n, const char *name)
{
	if (n->entry.in_object)
		return write_object(v, n, name);
	cleanup_fd int fd =
	    file_open(v->dir, name, O_WRONLY | O_CREAT | O_EXCL, n->entry.mode & 0777);
	if (fd < 0)
		return fd;
	int r = pour(v, n, fd);
	return r < 0 ? r : set_mtime(fd, &n->entry);
}

static int write_symlink(const struct visit *v, const struct node *n, const char *name)
{
	char target[LARGEST_TARGET + 1];
	const char *found;
	int r = image_readlink(n->image, &n->entry, &found);
	if (r < 0 || n->entry.size > LARGEST_TARGET)
		return r < 0 ? r : -EBADMSG;
	memcpy(target, found, n->entry.size);
	target[n->entry.size] = '\0';
	return symlinkat(target, v->dir, name) < 0 ? -errno : 0;
}

static void note_failure(struct work *w, const char *folder, const char *name, int code)
{
	(void)pthread_mutex_lock(&w->lock);
	if (w->result == 0) {
		w->result = code;
		(void)error_errno(&w->err, code, "cannot write '%s/%s%s%s'",
				  w->request->path, folder, *name ? "/" : "", name);
	}
	(void)pthread_mutex_unlock(&w->lock);
	atomic_store(&w->stop, true);
}

static int write_child(void *context, const struct node *child, uint64_t cookie)
{
	const struct visit *v = context;
	char name[256];
	int r = 0;
	(void)cookie;
	if (atomic_load_explicit(&v->work->stop, memory_order_relaxed))
		return -ECANCELED;
	(void)snprintf(name, sizeof(name), "%.*s", (int)child->entry.name_size,
		       child->entry.name);
	if (child->entry.type == ENTRY_FILE)
		r = write_file(v, child, name);
	else if (child->entry.type == ENTRY_SYMLINK)
		r = write_symlink(v, child, name);
	if (r < 0)
		note_failure(v->work, v->directory->path, name, r);
	return r;
}

static int write_directory(struct work *w, const struct directory *directory,
			   void *scratch)
{
	cleanup_fd int dir =
	    file_open(w->request->dir, directory->path, O_RDONLY | O_DIRECTORY, 0);
	struct visit v = { w, directory, dir, scratch };
	int r = dir < 0 ? dir
			: tree_list(w->request->tree, directory->id, 0, write_child, &v);
	return r == 0 && is_interrupted() ? -EINTR : r;
}

static void *write_some(void *context)
{
	struct work *w = context;
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(CHUNK));
	int r = scratch ? 0 : -ENOMEM;
	size_t i = 0;
	while (r == 0 && !atomic_load(&w->stop)) {
		i = atomic_fetch_add(&w->next, 1);
		if (i >= w->count)
			return NULL;
		r = write_directory(w, &w->directories[i], scratch);
	}
	if (r < 0 && r != -ECANCELED)
		note_failure(w, scratch ? w->directories[i].path : "", "", r);
	return NULL;
}

static unsigned thread_count(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 1 ? 1 : (cores > THREADS_MOST ? THREADS_MOST : (unsigned)cores);
}

static void run_threads(struct work *w)
{
	pthread_t threads[THREADS_MOST];
	unsigned started = 0;
	unsigned wanted = thread_count() - 1; /* this one works, too */
	while (started < wanted &&
	       pthread_create(&threads[started], NULL, write_some, w) == 0)
		started++;
	(void)write_some(w);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
}

int export_tree(const struct export_request *request, struct export_counts *ret,
		struct error *reterr)
{
	CLEANUP(work_release)
	struct work w = { .request = request,
			  .lock = PTHREAD_MUTEX_INITIALIZER,
			  .err = ERROR_INIT };
	int r = make_directories(&w);
	if (r < 0)
		return error_errno(reterr, r, "cannot make the directories of '%s'",
				   request->path);
	run_threads(&w);
	if (w.result < 0)
		return error_set(reterr, w.result, "%s", error_text(&w.err, w.result));
	*ret = (struct export_counts){ .cloned = w.cloned,
				       .linked = w.linked,
				       .copied = w.copied };
	return 0;
}
