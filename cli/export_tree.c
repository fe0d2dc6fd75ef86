#include "cli/export_tree.h"

#include "cache/base/file.h"
#include "cli/export_work.h"
#include "fusefs/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, LARGEST_TARGET = 4096 };

struct writing {
	const struct export_request *request;
	struct export_work *work;
	_Atomic(uint64_t) cloned, linked, copied;
};

/* A directory that is being visited. */
struct visit {
	struct writing *writing;
	const struct export_dir *directory;
	int dir;
	void *scratch;
};

static char *child_path(const struct export_dir *parent, const struct entry *e)
{
	char name[256];
	(void)snprintf(name, sizeof(name), "%.*s", (int)e->name_size, e->name);
	return strcmp(parent->path, ".") == 0 ? strdup(name)
					      : path_join(parent->path, name);
}

static int make_child(void *context, const struct node *child, uint64_t cookie)
{
	const struct visit *v = context;
	struct writing *w = v->writing;
	(void)cookie;
	if (child->entry.type != ENTRY_DIRECTORY)
		return 0;
	char *path = child_path(v->directory, &child->entry);
	if (path && mkdirat(w->request->dir, path, child->entry.mode) < 0) {
		free(path);
		return -errno;
	}
	return export_work_add(w->work, child->id, path);
}

static int make_directories(struct writing *w)
{
	struct export_dir parent;
	int r = export_work_add(w->work, TREE_ROOT, strdup("."));
	for (size_t i = 0; r == 0 && export_work_get(w->work, i, &parent); i++) {
		struct visit v = { .writing = w, .directory = &parent };
		r = tree_list(w->request->tree, parent.id, 0, make_child, &v);
	}
	return r;
}

/*
 * A link is the object itself, so it has its mode, 0444: that keeps everybody but root
 * from writing to it, and so from changing the cache. A program could not be run.
 */
static bool try_link(const struct visit *v, const struct node *n, const char *name,
		     int object)
{
	char source[32];
	if (v->writing->request->mode != LINK_HARDLINK || (n->entry.mode & 0111))
		return false;
	(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", object);
	return linkat(AT_FDCWD, source, v->dir, name, AT_SYMLINK_FOLLOW) == 0;
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
		if (r == 0 && at > 0 && export_is_interrupted())
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
	struct writing *w = v->writing;
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

static int write_child(void *context, const struct node *child, uint64_t cookie)
{
	const struct visit *v = context;
	struct export_work *work = v->writing->work;
	char name[256];
	int r = 0;
	(void)cookie;
	if (export_work_stopped(work))
		return 1;
	if (export_is_interrupted())
		r = -EINTR;
	(void)snprintf(name, sizeof(name), "%.*s", (int)child->entry.name_size,
		       child->entry.name);
	if (r == 0 && child->entry.type == ENTRY_FILE)
		r = write_file(v, child, name);
	else if (r == 0 && child->entry.type == ENTRY_SYMLINK)
		r = write_symlink(v, child, name);
	if (r < 0)
		export_work_fail(work, v->directory, name, r);
	return r < 0;
}

static void fill_directory(void *context, const struct export_dir *directory,
			   void *scratch)
{
	struct writing *w = context;
	cleanup_fd int dir =
	    file_open(w->request->dir, directory->path, O_RDONLY | O_DIRECTORY, 0);
	struct visit v = { w, directory, dir, scratch };
	int r = dir < 0 ? dir
			: tree_list(w->request->tree, directory->id, 0, write_child, &v);
	if (r < 0)
		export_work_fail(w->work, directory, "", r);
}

int export_tree(const struct export_request *request, struct export_counts *ret,
		struct error *reterr)
{
	CLEANUP(export_work_freep) struct export_work *work = NULL;
	int r = export_work_new(request->path, &work);
	struct writing w = { .request = request, .work = work };
	if (r == 0)
		r = make_directories(&w);
	if (r < 0)
		return error_errno(reterr, r, "cannot make the directories of '%s'",
				   request->path);
	r = export_work_run(work, IMAGE_SCRATCH(CHUNK), fill_directory, &w, reterr);
	if (r < 0)
		return r;
	*ret = (struct export_counts){ .cloned = w.cloned,
				       .linked = w.linked,
				       .copied = w.copied };
	return 0;
}
