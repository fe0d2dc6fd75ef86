#include "cli/export_mounted.h"

#include "cache/base/bytes.h"
#include "cache/base/digest.h"
#include "cache/base/file.h"
#include "cache/env/relocate.h"
#include "cli/export_file.h"
#include "cli/export_work.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST_SCRIPT = 1 << 20, LARGEST_RECORD = 64 << 20 };

/* A name of a file that has several, written last, by one thread. */
struct linked {
	char *path;
	uint64_t ino;
	bool done; /* it is there for others to be linked to */
};

struct copying {
	const struct plan *plan;
	struct relocation relocation;
	struct export_work *work;
	int from, dest;
	dev_t device;
	pthread_mutex_t lock;
	struct relocated *scripts; /* guarded by lock */
	size_t script_count;       /* guarded by lock */
	struct linked *links;      /* guarded by lock */
	size_t link_count;         /* guarded by lock */
};

static void copying_release(struct copying *c)
{
	for (size_t i = 0; i < c->script_count; i++)
		free(c->scripts[i].name);
	free(c->scripts);
	for (size_t i = 0; i < c->link_count; i++)
		free(c->links[i].path);
	free(c->links);
	export_work_free(c->work);
	cleanup_close_fn(&c->from);
	(void)pthread_mutex_destroy(&c->lock);
}

int export_mounted_plan(const char *dir, struct plan *ret, struct error *reterr)
{
	char type[64];
	cleanup_free char *path = NULL;
	CLEANUP(state_freep) struct state *state = NULL;
	int r = path_canonical(dir, &path, reterr);
	if (r < 0)
		return r;
	if (device_look(path, type) != MOUNTED_VENVFS ||
	    state_open(path, false, &state, NULL) < 0 ||
	    plan_read(state_fd(state), ret) < 0)
		return error_set(reterr, -EINVAL,
				 "'%s' is no venvfs mount of yours (venvfs list)", path);
	return 0;
}

/* --- directories --- */

static char *join(const struct export_dir *dir, const char *name)
{
	return strcmp(dir->path, ".") == 0 ? strdup(name) : path_join(dir->path, name);
}

static DIR *open_listing(const struct copying *c, const struct export_dir *dir,
			 int *ret_fd)
{
	*ret_fd = file_open_beneath(c->from, dir->path, O_RDONLY | O_DIRECTORY, 0);
	return *ret_fd < 0 ? NULL : file_list_dir(*ret_fd);
}

/* The next entry that is neither "." nor ".." nor gone; NULL at the end. */
static const char *next_entry(DIR *dir, int fd, struct stat *ret)
{
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    fstatat(fd, entry->d_name, ret, AT_SYMLINK_NOFOLLOW) == 0)
			return entry->d_name;
	}
	return NULL;
}

/* What is mounted in the mount is not of it. */
static int make_children(struct copying *c, const struct export_dir *parent)
{
	struct stat st;
	const char *name;
	cleanup_fd int fd = -1;
	cleanup_dir DIR *dir = open_listing(c, parent, &fd);
	int r = dir ? 0 : (fd < 0 ? fd : -errno);
	while (r == 0 && (name = next_entry(dir, fd, &st)) != NULL) {
		if (!S_ISDIR(st.st_mode) || st.st_dev != c->device)
			continue;
		char *path = join(parent, name);
		if (path && mkdirat(c->dest, path, 0700) < 0) {
			r = -errno;
			free(path);
			break;
		}
		r = export_work_add(c->work, st.st_mode & 07777, path);
	}
	return r;
}

static int make_directories(struct copying *c)
{
	struct export_dir dir;
	int r = export_work_add(c->work, 0755, strdup("."));
	for (size_t i = 0; r == 0 && export_work_get(c->work, i, &dir); i++)
		r = make_children(c, &dir);
	return r;
}

/* Last, as one may forbid to write in it. */
static int finish_directories(const struct copying *c)
{
	struct export_dir dir;
	for (size_t i = 1; export_work_get(c->work, i, &dir); i++) {
		if (fchmodat(c->dest, dir.path, (mode_t)dir.id, 0) < 0)
			return -errno;
	}
	return 0;
}

/* --- files --- */

static int note_script(struct copying *c, const char *name, const struct buffer *text)
{
	struct relocated file = { .name = strdup(name),
				  .sha256 = sha256_of(text->data, text->size),
				  .size = text->size };
	if (!file.name)
		return -ENOMEM;
	(void)pthread_mutex_lock(&c->lock);
	struct relocated *grown =
	    reallocarray(c->scripts, c->script_count + 1, sizeof(*grown));
	if (grown) {
		c->scripts = grown;
		grown[c->script_count++] = file;
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (!grown)
		free(file.name);
	return grown ? 0 : -ENOMEM;
}

static int note_link(struct copying *c, const struct export_dir *dir, const char *name,
		     uint64_t ino)
{
	struct linked link = { .path = join(dir, name), .ino = ino };
	if (!link.path)
		return -ENOMEM;
	(void)pthread_mutex_lock(&c->lock);
	struct linked *grown = reallocarray(c->links, c->link_count + 1, sizeof(*grown));
	if (grown) {
		c->links = grown;
		grown[c->link_count++] = link;
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (!grown)
		free(link.path);
	return grown ? 0 : -ENOMEM;
}

/* 1: it was written anew; 0: it is copied as any other. */
static int copy_script(struct copying *c, const struct export_source *source, int to)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_buffer struct buffer moved = BUFFER_INIT;
	int r = file_read_at(source->dir, source->name, LARGEST_SCRIPT, &text);
	if (r == 0)
		r = relocate_script(&c->relocation, source->name, &text, &moved);
	if (r == 1)
		r = note_script(c, source->name, &moved);
	else
		return r;
	if (r == 0)
		r = export_file_write(source, to, moved.data, moved.size);
	return r < 0 ? r : 1;
}

static int copy_entry(struct copying *c, const struct export_dir *dir,
		      const struct export_source *source, int to, void *scratch)
{
	const struct stat *st = source->st;
	int r = 0;
	if (S_ISREG(st->st_mode) && st->st_nlink > 1)
		return note_link(c, dir, source->name, st->st_ino);
	if (S_ISREG(st->st_mode) && strcmp(dir->path, "bin") == 0 &&
	    st->st_size <= LARGEST_SCRIPT)
		r = copy_script(c, source, to);
	return r != 0 ? r : export_file_copy(source, to, source->name, scratch);
}

static void fill_directory(void *context, const struct export_dir *directory,
			   void *scratch)
{
	struct copying *c = context;
	struct stat st;
	const char *name;
	cleanup_fd int fd = -1;
	cleanup_dir DIR *dir = open_listing(c, directory, &fd);
	cleanup_fd int to =
	    file_open_beneath(c->dest, directory->path, O_RDONLY | O_DIRECTORY, 0);
	if (!dir || to < 0)
		export_work_fail(c->work, directory, "", to < 0 ? to : -EIO);
	while (dir && to >= 0 && !export_work_stopped(c->work) &&
	       (name = next_entry(dir, fd, &st)) != NULL) {
		const struct export_source source = { fd, name, &st };
		int r = export_is_interrupted() ? -EINTR : 0;
		if (r == 0 && !S_ISDIR(st.st_mode))
			r = copy_entry(c, directory, &source, to, scratch);
		if (r < 0 && r != -ENOENT) /* gone meanwhile */
			export_work_fail(c->work, directory, name, r);
	}
}

/* --- afterwards --- */

static int write_link(struct copying *c, size_t i, void *scratch)
{
	struct linked *link = &c->links[i];
	struct stat st;
	for (size_t j = 0; j < i; j++) {
		if (c->links[j].ino != link->ino || !c->links[j].done)
			continue;
		link->done = true;
		return linkat(c->dest, c->links[j].path, c->dest, link->path, 0) < 0
			   ? -errno
			   : 0;
	}
	if (fstatat(c->from, link->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	const struct export_source source = { c->from, link->path, &st };
	int r = export_file_copy(&source, c->dest, link->path, scratch);
	link->done = r == 0;
	return r == -ENOENT ? 0 : r;
}

static int write_links(struct copying *c)
{
	cleanup_free void *scratch = malloc(EXPORT_CHUNK);
	int r = scratch ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < c->link_count; i++)
		r = write_link(c, i, scratch);
	return r;
}

static bool is_dist_info(const struct copying *c, const char *path)
{
	static const char suffix[] = ".dist-info";
	size_t site = strlen(c->plan->site_packages);
	size_t size = strlen(path);
	return size > site + strlen(suffix) &&
	       memcmp(path, c->plan->site_packages, site) == 0 && path[site] == '/' &&
	       strcmp(path + size - strlen(suffix), suffix) == 0;
}

static int mend_record(const struct copying *c, const char *folder)
{
	struct stat st;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_buffer struct buffer mended = BUFFER_INIT;
	cleanup_fd int dir =
	    file_open_beneath(c->dest, folder, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0 || fstatat(dir, "RECORD", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return dir < 0 ? dir : 0;
	int r = file_read_at(dir, "RECORD", LARGEST_RECORD, &text);
	if (r == 0)
		r = relocate_record(&text, c->scripts, c->script_count, &mended);
	if (r != 1)
		return r == -EFBIG ? 0 : r;
	const struct export_source source = { dir, "RECORD", &st };
	return unlinkat(dir, "RECORD", 0) < 0
		   ? -errno
		   : export_file_write(&source, dir, mended.data, mended.size);
}

static int mend_records(const struct copying *c)
{
	struct export_dir dir;
	int r = 0;
	for (size_t i = 0; r == 0 && export_work_get(c->work, i, &dir); i++) {
		if (is_dist_info(c, dir.path))
			r = mend_record(c, dir.path);
	}
	return r;
}

static int open_mount(struct copying *c, struct error *reterr)
{
	struct stat st;
	c->from = file_open(AT_FDCWD, c->plan->path, O_RDONLY | O_DIRECTORY, 0);
	if (c->from < 0 || fstat(c->from, &st) < 0)
		return error_errno(reterr, c->from < 0 ? c->from : -errno,
				   "cannot open the mount at '%s'", c->plan->path);
	c->device = st.st_dev;
	return 0;
}

int export_mounted(const struct plan *plan, int dest, const char *path,
		   struct error *reterr)
{
	CLEANUP(copying_release)
	struct copying c = { .plan = plan,
			     .relocation = { .from = plan->path,
					     .to = path,
					     .site_packages = plan->site_packages },
			     .from = -1,
			     .dest = dest,
			     .lock = PTHREAD_MUTEX_INITIALIZER };
	int r = open_mount(&c, reterr);
	if (r < 0)
		return r;
	r = export_work_new(path, &c.work);
	if (r == 0)
		r = make_directories(&c);
	if (r < 0)
		return error_errno(reterr, r, "cannot make the directories of '%s'",
				   path);
	r = export_work_run(c.work, EXPORT_CHUNK, fill_directory, &c, reterr);
	if (r < 0)
		return r;
	r = write_links(&c);
	if (r == 0)
		r = mend_records(&c);
	if (r == 0)
		r = finish_directories(&c);
	return r < 0 ? error_errno(reterr, r, "cannot finish '%s'", path) : 0;
}
