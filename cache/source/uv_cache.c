/*
 * What is known of its layout (versions 0.4 to 0.13): pointers lie in wheels-v<N>, as
 *
 *     pypi/<name>/<version and tags>.http          of uv's own index
 *     index/<digest of its URL>/<name>/....http    of another one; .rev of a folder
 *     url/<digest of its URL>/<name>/....http      of a URL
 *     path/<digest>/<name>/....rev                 of a file; under url/, too
 *
 * and the unpacked wheels in archive-v0/<id>. The digests are uv's own, so all are looked
 * into: of index/ there are few; url/ and path/, of which there may be thousands, are
 * listed once.
 */
#include "cache/source/uv_cache.h"

#include "cache/base/file.h"
#include "cache/base/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LARGEST_POINTER = 1 << 20, ARCHIVE_VERSION = 0 };

/* A folder of pointers: <parent>/<name>. */
struct place {
	char *parent; /* relative to the cache */
	char *name;   /* of the only project in it; NULL: many */
};

struct uv_cache {
	char *folder;
	int fd, lock;
	struct place *places;
	size_t count;
};

static int add_place(struct uv_cache *c, const char *parent, const char *name)
{
	struct place *more = reallocarray(c->places, c->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->places = more;
	struct place *place = &more[c->count];
	*place = (struct place){ .parent = strdup(parent),
				 .name = name ? strdup(name) : NULL };
	if (place->parent && (!name || place->name)) {
		c->count++;
		return 0;
	}
	free(place->parent);
	free(place->name);
	return -ENOMEM;
}

/* Calls `visit` with each name in the folder that begins with `prefix`. */
typedef int visit_name(struct uv_cache *c, const char *folder, const char *name);
static int each_name(struct uv_cache *c, const char *folder, const char *prefix,
		     visit_name *visit)
{
	cleanup_fd int fd = file_open_beneath(c->fd, folder, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	int r = 0;
	while (r == 0 && dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.' &&
		    strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
			r = visit(c, folder, entry->d_name);
	}
	return r;
}

static int add_index(struct uv_cache *c, const char *folder, const char *name)
{
	cleanup_free char *path = path_join(folder, name);
	return path ? add_place(c, path, NULL) : -ENOMEM;
}

static int add_project(struct uv_cache *c, const char *folder, const char *name)
{
	return add_place(c, folder, name);
}

static int add_digest(struct uv_cache *c, const char *folder, const char *name)
{
	cleanup_free char *path = path_join(folder, name);
	return path ? each_name(c, path, "", add_project) : -ENOMEM;
}

static int add_bucket(struct uv_cache *c, const char *folder, const char *name)
{
	(void)folder;
	cleanup_free char *pypi = path_join(name, "pypi");
	cleanup_free char *index = path_join(name, "index");
	cleanup_free char *url = path_join(name, "url");
	cleanup_free char *path = path_join(name, "path");
	if (!pypi || !index || !url || !path)
		return -ENOMEM;
	int r = add_place(c, pypi, NULL);
	if (r == 0)
		r = each_name(c, index, "", add_index);
	if (r == 0)
		r = each_name(c, url, "", add_digest);
	return r < 0 ? r : each_name(c, path, "", add_digest);
}

/* uv holds this lock, shared, while it works, and alone while it cleans. */
static int take_lock(struct uv_cache *c)
{
	c->lock = file_open_beneath(c->fd, ".lock", O_RDONLY, 0);
	if (c->lock < 0)
		return 0;
	return flock(c->lock, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK ? -ENOENT
									     : 0;
}

/* What others can write is not believed: RECORD is checked, but by itself proves nothing.
 */
static bool is_own(const char *folder)
{
	cleanup_free char *path = NULL;
	const uid_t owners[] = { geteuid(), 0 };
	return path_canonical(folder, &path, NULL) == 0 &&
	       trust_check_path(path, owners, 2, "UV_CACHE_DIR", NULL) == 0;
}

int uv_cache_open(const char *folder, struct uv_cache **ret)
{
	CLEANUP(uv_cache_freep) struct uv_cache *c = calloc(1, sizeof(*c));
	if (!msgpack_is_there())
		return -ENOENT;
	if (!c)
		return -ENOMEM;
	c->lock = -1;
	c->fd = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	c->folder = strdup(folder);
	if (!c->folder)
		return -ENOMEM;
	if (c->fd < 0 || !is_own(folder) || take_lock(c) < 0)
		return -ENOENT;
	int r = each_name(c, ".", "wheels-v", add_bucket);
	if (r < 0)
		return r;
	*ret = steal_ptr(c);
	return 0;
}

void uv_cache_free(struct uv_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++) {
		free(c->places[i].parent);
		free(c->places[i].name);
	}
	free(c->places);
	cleanup_close_fn(&c->lock);
	cleanup_close_fn(&c->fd);
	free(c->folder);
	free(c);
}

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text);
	return size > strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

static bool read_pointer(int dirfd, const char *name, struct uv_pointer *ret)
{
	bool is_rev = ends_with(name, ".rev");
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	if ((!is_rev && !ends_with(name, ".http")) ||
	    file_read_at(dirfd, name, LARGEST_POINTER, &bytes) < 0)
		return false;
	struct msgpack_memory memory = { bytes.data, bytes.size };
	struct msgpack m = { .pread = msgpack_pread_memory, .context = &memory };
	return uv_pointer_parse(&m, is_rev, ret) == 0 && ret->version == ARCHIVE_VERSION;
}

static int visit_pointer(const struct uv_cache *c, const struct uv_pointer *pointer,
			 uv_cache_visit *visit, void *context)
{
	cleanup_free char *relative = path_join("archive-v0", pointer->id);
	cleanup_free char *folder = relative ? path_join(c->folder, relative) : NULL;
	if (!folder)
		return -ENOMEM;
	cleanup_fd int fd = file_open_beneath(c->fd, relative, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? 0 : visit(context, pointer, folder);
}

static int visit_place(const struct uv_cache *c, const struct place *place,
		       const char *name, uv_cache_visit *visit, void *context)
{
	cleanup_free char *path = path_join(place->parent, name);
	if (!path)
		return -ENOMEM;
	cleanup_fd int fd = file_open_beneath(c->fd, path, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	int r = 0;
	while (r == 0 && dir && (entry = readdir(dir)) != NULL) {
		struct uv_pointer pointer;
		if (read_pointer(fd, entry->d_name, &pointer))
			r = visit_pointer(c, &pointer, visit, context);
	}
	return r;
}

int uv_cache_each(struct uv_cache *c, const char *name, uv_cache_visit *visit,
		  void *context)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < c->count; i++) {
		const struct place *place = &c->places[i];
		if (!place->name || strcmp(place->name, name) == 0)
			r = visit_place(c, place, name, visit, context);
	}
	return r;
}
