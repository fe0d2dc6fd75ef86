#include "cache/folder/scan.h"

#include "cache/base/bytes.h"
#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/*
 * The list is its own queue: folders are listed in the order in which they were found,
 * each by its path below the root, so that neither depth nor breadth costs descriptors.
 */

enum { MANY = 50 * 1000 * 1000 };

void scan_release(struct scan *scan)
{
	for (size_t i = 0; i < scan->count; i++)
		free(scan->found[i].path);
	free(scan->found);
	*scan = (struct scan){ .found = NULL };
}

static int refuse(struct error *reterr, int code, const char *folder, const char *path,
		  const char *why)
{
	return error_set(reterr, code, "'%s%s%s' %s", folder, *path ? "/" : "", path,
			 why);
}

static int append(struct scan *scan, const struct found *found)
{
	if (scan->count == scan->room) {
		size_t room = scan->room ? scan->room * 2 : 256;
		struct found *larger =
		    room > MANY ? NULL : reallocarray(scan->found, room, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		scan->found = larger;
		scan->room = room;
	}
	scan->found[scan->count] = *found;
	scan->found[scan->count].first = scan->count;
	scan->count++;
	return 0;
}

void scan_from_stat(const struct stat *st, struct found *ret)
{
	*ret = (struct found){ .dev = st->st_dev,
			       .ino = st->st_ino,
			       .size = (uint64_t)st->st_size,
			       .mtime = st->st_mtim.tv_sec,
			       .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
			       .ctime = st->st_ctim.tv_sec,
			       .ctime_nsec = (uint32_t)st->st_ctim.tv_nsec,
			       .mode = st->st_mode,
			       .uid = st->st_uid,
			       .gid = st->st_gid,
			       .nlink = (uint32_t)st->st_nlink };
}

static void from_statx(const struct statx *st, struct found *ret)
{
	*ret = (struct found){ .dev = makedev(st->stx_dev_major, st->stx_dev_minor),
			       .ino = st->stx_ino,
			       .size = st->stx_size,
			       .mtime = st->stx_mtime.tv_sec,
			       .mtime_nsec = st->stx_mtime.tv_nsec,
			       .ctime = st->stx_ctime.tv_sec,
			       .ctime_nsec = st->stx_ctime.tv_nsec,
			       .mode = st->stx_mode,
			       .uid = st->stx_uid,
			       .gid = st->stx_gid,
			       .nlink = st->stx_nlink };
}

/* NULL: it can be in an image. */
static const char *why_not(const struct statx *st)
{
	if (st->stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return "is a mount point: unmount it, or name it as a folder of its own";
	if (S_ISCHR(st->stx_mode) || S_ISBLK(st->stx_mode))
		return "is a device node, which no image can hold";
	return NULL;
}

static int add_child(struct scan *scan, int dirfd, size_t parent, const char *name,
		     const char *folder, struct error *reterr)
{
	struct statx st;
	struct found found;
	char *path = *scan->found[parent].path ? path_join(scan->found[parent].path, name)
					       : strdup(name);
	cleanup_free char *held = path;
	if (!path)
		return -ENOMEM;
	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
		  &st) < 0)
		return refuse(reterr, -errno, folder, path,
			      errno == ENOENT ? "changed while it was read"
					      : strerror(errno));
	const char *why = why_not(&st);
	if (why)
		return refuse(reterr, -EINVAL, folder, path, why);
	from_statx(&st, &found);
	found.path = path;
	int r = append(scan, &found);
	if (r == 0)
		held = NULL;
	return r;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a folder one after another, each with its NUL. */
static int read_names(DIR *dir, struct buffer *names, size_t *ret_count)
{
	*ret_count = 0;
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		int r = buffer_append(names, entry->d_name, strlen(entry->d_name) + 1);
		if (r < 0)
			return r;
		(*ret_count)++;
	}
}

static int list_folder(struct scan *scan, int root, size_t i, const char *folder,
		       struct error *reterr)
{
	const char *path = scan->found[i].path;
	cleanup_buffer struct buffer names = BUFFER_INIT;
	size_t count = 0;
	cleanup_fd int fd =
	    file_open_beneath(root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	int r = dir ? read_names(dir, &names, &count) : fd < 0 ? fd : -errno;
	if (r < 0)
		return error_errno(reterr, r, "cannot list '%s%s%s'", folder,
				   *path ? "/" : "", path);
	cleanup_free const char **sorted = calloc(count + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	const char *name = (const char *)names.data;
	for (size_t k = 0; k < count; k++, name += strlen(name) + 1)
		sorted[k] = name;
	if (count > 1)
		qsort(sorted, count, sizeof(*sorted), compare_texts);
	for (size_t k = 0; r == 0 && k < count; k++)
		r = add_child(scan, fd, i, sorted[k], folder, reterr);
	return r;
}

static int compare_files(const void *a, const void *b)
{
	const struct found *x = *(struct found *const *)a;
	const struct found *y = *(struct found *const *)b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return (x->first > y->first) - (x->first < y->first);
}

/* Of the names of one file the first found stands for all. */
static int find_hard_links(struct scan *scan)
{
	size_t count = 0;
	cleanup_free struct found **linked =
	    calloc(scan->count + 1, sizeof(struct found *));
	if (!linked)
		return -ENOMEM;
	for (size_t i = 0; i < scan->count; i++) {
		struct found *f = &scan->found[i];
		if (f->nlink > 1 && !S_ISDIR(f->mode))
			linked[count++] = f;
	}
	if (count > 1)
		qsort(linked, count, sizeof(struct found *), compare_files);
	for (size_t i = 1; i < count; i++) {
		const struct found *before = linked[i - 1];
		if (before->dev == linked[i]->dev && before->ino == linked[i]->ino)
			linked[i]->first = before->first;
	}
	return 0;
}

int scan_folder(int root, const char *path, struct scan *ret, struct error *reterr)
{
	CLEANUP(scan_release) struct scan scan = { .found = NULL };
	struct stat st;
	struct found found;
	if (fstat(root, &st) < 0)
		return error_errno(reterr, -errno, "cannot look at '%s'", path);
	scan_from_stat(&st, &found);
	found.path = strdup("");
	int r = found.path ? append(&scan, &found) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < scan.count; i++) {
		if (S_ISDIR(scan.found[i].mode))
			r = list_folder(&scan, root, i, path, reterr);
	}
	if (r == 0)
		r = find_hard_links(&scan);
	if (r < 0)
		return r;
	*ret = scan;
	scan = (struct scan){ .found = NULL };
	return 0;
}

bool scan_is_same(const struct found *a, const struct found *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime == b->mtime && a->mtime_nsec == b->mtime_nsec &&
	       a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

struct digest scan_stamps(const struct scan *scan)
{
	CLEANUP(digest_stream_freep) struct digest_stream *s = digest_stream_new();
	if (!s)
		return (struct digest){ .bytes = { 0 } };
	for (size_t i = 0; i < scan->count; i++) {
		const struct found *f = &scan->found[i];
		const uint64_t numbers[] = { f->dev,
					     f->ino,
					     f->size,
					     (uint64_t)f->mtime,
					     (uint64_t)f->ctime,
					     f->mtime_nsec,
					     f->ctime_nsec,
					     f->mode,
					     f->uid,
					     f->gid };
		/* The NUL ends a path, so that no two lists give the same bytes. */
		digest_stream_add(s, f->path, strlen(f->path) + 1);
		digest_stream_add(s, numbers, sizeof(numbers));
	}
	return digest_stream_end(s);
}

int64_t scan_newest(const struct scan *scan)
{
	int64_t newest = INT64_MIN;
	for (size_t i = 0; i < scan->count; i++) {
		if (scan->found[i].ctime > newest)
			newest = scan->found[i].ctime;
	}
	return newest;
}
