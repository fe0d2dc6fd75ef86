#include "cache/folder/folder.h"

#include "cache/base/file.h"
#include "cache/base/json.h"
#include "cache/folder/scan.h"
#include "cache/store/image_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/*
 * A folder is scanned, read, and scanned again: what was stored is what stood there from
 * the first scan to the second, or nothing is stored. The stamps of the scan are kept
 * with the image, so that a folder of which nothing has changed is not read again.
 */

enum { CHUNK = 1 << 20, XATTR_LIST_MOST = 64 << 10, XATTR_MOST = 64 << 10 };

struct adding {
	int root;
	const char *folder; /* canonical path */
	struct image_writer *writer;
	struct scan scan;
	uint8_t *chunk;   /* CHUNK bytes */
	char *names;      /* of attributes: XATTR_LIST_MOST bytes */
	uint64_t content; /* bytes of files, each counted once */
};

static void adding_release(struct adding *a)
{
	cleanup_close_fn(&a->root);
	image_writer_free(a->writer);
	scan_release(&a->scan);
	free(a->chunk);
	free(a->names);
}

static int refuse(const struct adding *a, int code, const struct found *f,
		  const char *why, struct error *reterr)
{
	return error_set(reterr, code, "'%s%s%s' %s", a->folder, *f->path ? "/" : "",
			 f->path, why);
}

static int refuse_changed(const struct adding *a, const struct found *f,
			  struct error *reterr)
{
	return refuse(a, -EBUSY, f, "changed while it was read", reterr);
}

static int refuse_unreadable(const struct adding *a, int code, const struct found *f,
			     struct error *reterr)
{
	return error_errno(reterr, code, "cannot read '%s%s%s'", a->folder,
			   *f->path ? "/" : "", f->path);
}

/* What the writer says of an entry. */
static int explain(const struct adding *a, int code, const struct found *f,
		   struct error *reterr)
{
	if (code == -EINVAL)
		return refuse(a, code, f, "lies deeper than an image can hold", reterr);
	return error_prefix(reterr, code, "cannot store '%s%s%s'", a->folder,
			    *f->path ? "/" : "", f->path);
}

static struct item item_of(const struct found *f)
{
	enum entry_type type = S_ISDIR(f->mode)    ? ENTRY_DIRECTORY
			       : S_ISLNK(f->mode)  ? ENTRY_SYMLINK
			       : S_ISFIFO(f->mode) ? ENTRY_FIFO
			       : S_ISSOCK(f->mode) ? ENTRY_SOCKET
						   : ENTRY_FILE;
	return (struct item){ .path = f->path,
			      .type = type,
			      .mode = (uint16_t)(f->mode & 07777),
			      .own_mtime = true,
			      .mtime = f->mtime,
			      .mtime_nsec = f->mtime_nsec };
}

static int add_xattr(const struct adding *a, int fd, const struct found *f,
		     const char *name, struct error *reterr)
{
	static const char user[] = "user.";
	static const char acl[] = "system.posix_acl_";
	if (strncmp(name, acl, strlen(acl)) == 0)
		return refuse(a, -EOPNOTSUPP, f,
			      "has a POSIX ACL, which an image cannot hold (setfacl -b "
			      "takes it away)",
			      reterr);
	if (strncmp(name, user, strlen(user)) != 0)
		return 0;
	ssize_t size = fgetxattr(fd, name, a->chunk, XATTR_MOST);
	if (size < 0)
		return errno == ENODATA ? refuse_changed(a, f, reterr)
					: refuse_unreadable(a, -errno, f, reterr);
	return image_writer_add_xattr(a->writer, name, a->chunk, (uint32_t)size);
}

/* Those of the file fd, for the entry added last. */
static int add_xattrs(const struct adding *a, int fd, const struct found *f,
		      struct error *reterr)
{
	ssize_t size = flistxattr(fd, a->names, XATTR_LIST_MOST);
	if (size < 0)
		return errno == EOPNOTSUPP || errno == ENOSYS
			   ? 0
			   : refuse_unreadable(a, -errno, f, reterr);
	int r = 0;
	for (const char *name = a->names; r == 0 && name < a->names + size;
	     name += strlen(name) + 1)
		r = add_xattr(a, fd, f, name, reterr);
	return r;
}

/* A file or folder that is still what the scan has found there. */
static int open_found(const struct adding *a, const struct found *f, int flags,
		      int *ret_fd, struct error *reterr)
{
	struct stat st;
	struct found now;
	cleanup_fd int fd =
	    file_open_beneath(a->root, *f->path ? f->path : ".", flags, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return refuse_changed(a, f, reterr);
	if (fd < 0)
		return refuse_unreadable(a, fd, f, reterr);
	if (fstat(fd, &st) < 0)
		return refuse_unreadable(a, -errno, f, reterr);
	scan_from_stat(&st, &now);
	if (!scan_is_same(f, &now))
		return refuse_changed(a, f, reterr);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int copy_content(struct adding *a, int fd, const struct found *f,
			struct error *reterr)
{
	for (uint64_t at = 0; at < f->size;) {
		size_t part = f->size - at < CHUNK ? (size_t)(f->size - at) : CHUNK;
		int r = file_pread_all(fd, a->chunk, part, at);
		if (r == -ENODATA)
			return refuse_changed(a, f, reterr);
		if (r < 0)
			return refuse_unreadable(a, r, f, reterr);
		r = image_writer_write(a->writer, a->chunk, part);
		if (r < 0)
			return r;
		at += part;
	}
	a->content += f->size;
	return 0;
}

/* A further name of a file gets no content: it shows that of the first. */
static int add_file(struct adding *a, const struct found *f, bool is_link,
		    struct error *reterr)
{
	const struct item item = item_of(f);
	cleanup_fd int fd = -1;
	int r = open_found(a, f, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd, reterr);
	if (r == 0)
		r = image_writer_begin_file(a->writer, &item, is_link ? 0 : f->size);
	if (r == 0 && !is_link)
		r = copy_content(a, fd, f, reterr);
	if (r == 0)
		r = image_writer_end_file(a->writer, NULL);
	return r < 0 ? r : add_xattrs(a, fd, f, reterr);
}

static int add_directory(struct adding *a, const struct found *f, struct error *reterr)
{
	const struct item item = item_of(f);
	cleanup_fd int fd = -1;
	int r = open_found(a, f, O_RDONLY | O_DIRECTORY, &fd, reterr);
	if (r == 0)
		r = image_writer_add(a->writer, &item);
	return r < 0 ? r : add_xattrs(a, fd, f, reterr);
}

static int add_symlink(struct adding *a, const struct found *f, struct error *reterr)
{
	struct item item = item_of(f);
	char target[4097];
	cleanup_fd int fd = -1;
	int r = open_found(a, f, O_PATH | O_NOFOLLOW, &fd, reterr);
	if (r < 0)
		return r;
	ssize_t size = readlinkat(fd, "", target, sizeof(target) - 1);
	if (size < 0)
		return refuse_unreadable(a, -errno, f, reterr);
	target[size] = '\0';
	item.target = target;
	return image_writer_add(a->writer, &item);
}

static int add_found(struct adding *a, size_t i, struct error *reterr)
{
	const struct found *f = &a->scan.found[i];
	const struct item item = item_of(f);
	bool is_link = f->first != i;
	int r;
	if (item.type == ENTRY_FILE)
		r = add_file(a, f, is_link, reterr);
	else if (item.type == ENTRY_DIRECTORY)
		r = add_directory(a, f, reterr);
	else if (item.type == ENTRY_SYMLINK)
		r = add_symlink(a, f, reterr);
	else
		r = image_writer_add(a->writer, &item);
	if (r == 0)
		r = image_writer_set_owner(a->writer, f->uid, f->gid);
	if (r == 0 && is_link)
		r = image_writer_set_hard_link(a->writer, a->scan.found[f->first].path);
	return r < 0 && !(reterr && *reterr->text) ? explain(a, r, f, reterr) : r;
}

/* Is everything as it was before it was read? The text names what is not. */
static int check_unchanged(const struct adding *a, struct error *reterr)
{
	CLEANUP(scan_release) struct scan now = { .found = NULL };
	const struct scan *was = &a->scan;
	int r = scan_folder(a->root, a->folder, &now, reterr);
	if (r < 0)
		return r;
	for (size_t i = 0; i < was->count && i < now.count; i++) {
		const struct found *x = &was->found[i];
		const struct found *y = &now.found[i];
		if (strcmp(x->path, y->path) != 0 || !scan_is_same(x, y) ||
		    x->first != y->first)
			return refuse_changed(a, x, reterr);
	}
	return was->count == now.count ? 0 : refuse_changed(a, &was->found[0], reterr);
}

static int read_all(struct adding *a, struct store *store, struct folder_note *note,
		    struct error *reterr)
{
	a->chunk = malloc(CHUNK);
	a->names = malloc(XATTR_LIST_MOST);
	int r = a->chunk && a->names ? image_writer_new(store, &a->writer) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < a->scan.count; i++)
		r = add_found(a, i, reterr);
	time_t looked = time(NULL);
	if (r == 0)
		r = check_unchanged(a, reterr);
	if (r < 0)
		return r;
	r = image_writer_publish(a->writer, &note->image, reterr);
	if (r < 0)
		return error_prefix(reterr, r, "cannot write to the cache '%s'",
				    store_path(store));
	note->entries = a->scan.count - 1;
	note->size = a->content;
	/* A change after the last look, but within the clock's grain, would leave every
	 * stamp as it is. */
	enum { GRAIN = 2 };
	note->stamps = looked - scan_newest(&a->scan) < GRAIN
			   ? (struct digest){ .bytes = { 0 } }
			   : scan_stamps(&a->scan);
	return store_note_folder(store, note, reterr);
}

/* Known by its stamps, and its image can be opened. */
static bool is_known(struct store *store, const struct scan *scan,
		     struct folder_note *note)
{
	struct folder_note known;
	struct digest stamps = scan_stamps(scan);
	CLEANUP(image_freep) struct image *image = NULL;
	if (store_find_folder(store, note->path, &known) < 0 ||
	    !digest_equal(&known.stamps, &stamps) ||
	    store_open_image(store, &known.image, &image, NULL) < 0)
		return false;
	*note = known;
	return true;
}

/* The path is kept in notes and shown as JSON, so it must be text of one line. */
static int check_path(struct store *store, const char *path, struct error *reterr)
{
	size_t size = strlen(path);
	const char *cache = store_path(store);
	cleanup_json json_t *text = json_string(path);
	if (!text || strchr(path, '\n') ||
	    size >= sizeof(((struct folder_note *)0)->path))
		return error_set(reterr, -EILSEQ,
				 "the path '%s' is too long, or is not UTF-8 on one line",
				 path);
	if (!store_is_writable(store))
		return error_set(reterr, -EROFS, "the cache '%s' cannot be written",
				 cache);
	if (strcmp(path, "/") == 0 ||
	    (strncmp(cache, path, size) == 0 && (!cache[size] || cache[size] == '/')))
		return error_set(reterr, -EINVAL,
				 "the cache '%s' lies in '%s', so it would hold itself",
				 cache, path);
	return 0;
}

int folder_add(struct store *store, const char *path, struct folder_added *ret,
	       struct error *reterr)
{
	CLEANUP(adding_release) struct adding a = { .root = -1 };
	cleanup_free char *canonical = NULL;
	struct folder_added added = { .was_known = false };
	int r = path_canonical(path, &canonical, reterr);
	if (r == 0)
		r = check_path(store, canonical, reterr);
	if (r < 0)
		return r;
	memcpy(added.note.path, canonical, strlen(canonical) + 1);
	a.folder = canonical;
	a.root = file_open(AT_FDCWD, canonical, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (a.root < 0)
		return error_errno(reterr, a.root, "cannot open the folder '%s'", path);
	r = scan_folder(a.root, a.folder, &a.scan, reterr);
	if (r < 0)
		return r;
	added.was_known = is_known(store, &a.scan, &added.note);
	if (!added.was_known)
		r = read_all(&a, store, &added.note, reterr);
	if (r == 0)
		*ret = added;
	return r;
}
