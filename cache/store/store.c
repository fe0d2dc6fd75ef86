#include "cache/store/store.h"

#include "cache/base/file.h"
#include "cache/base/trust.h"
#include "cache/store/stage.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* The version of the directory's layout; what is not this is refused, never rewritten. */
static const char format_text[] = "venvfs cache 1\n";

static const char cachedir_tag[] =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This is a cache of venvfs; it can be removed when nothing "
    "is mounted from it.\n"
    "# See https://bford.info/cachedir/\n";

static const char *const dir_names[STORE_DIRS] = {
	[DIR_IMAGES] = "images",   [DIR_OBJECTS] = "objects", [DIR_WHEELS] = "wheels",
	[DIR_FOLDERS] = "folders", [DIR_SEEN] = "seen",       [DIR_UNSYNCED] = "unsynced",
	[DIR_TMP] = "tmp",         [DIR_LEASES] = "leases",
};

/* Decided by the table in ARCHITECTURE.md (Measurements); FORMAT.md lets every image
 * choose. */
enum { OBJECT_THRESHOLD = 16 << 10 };

void store_id_path(const struct digest *id, char ret_path[ID_PATH_SIZE])
{
	char hex[DIGEST_HEX_SIZE];
	digest_format(id, hex);
	(void)snprintf(ret_path, ID_PATH_SIZE, "%.2s/%s", hex, hex + 2);
}

/* For measuring only: another threshold makes other images of the same wheels. */
static uint64_t object_threshold(void)
{
	const char *text = getenv("VENVFS_OBJECT_THRESHOLD");
	uint64_t size = text ? strtoull(text, NULL, 10) : 0;
	return size ? size : OBJECT_THRESHOLD;
}

/*
 * Where the kernel does not say which boot it is (no /proc), every process has one of its
 * own: what it publishes is checked once by the next, as after a power cut.
 */
static int read_boot_id(char ret_id[40])
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	uint8_t random[16];
	if (file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text) == 0 &&
	    text.size >= 36) {
		(void)snprintf(ret_id, 40, "%.36s", (const char *)text.data);
		return 0;
	}
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	hex_encode(random, sizeof(random), ret_id);
	return 0;
}

/* The length of what may be shown of an unknown format. */
static int first_line(const struct buffer *text)
{
	enum { SHOWN_MOST = 40 };
	int size = 0;
	while (size < SHOWN_MOST && (size_t)size < text->size && text->data[size] &&
	       text->data[size] != '\n')
		size++;
	return size;
}

static int check_format(struct store *store, struct error *reterr)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = file_read_at(store->fd, "format", 256, &text);
	if (r < 0 && r != -EFBIG)
		return r;
	if (text.size != strlen(format_text) ||
	    memcmp(text.data, format_text, text.size) != 0)
		return error_set(reterr, -EPROTO,
				 "the cache '%s' has a format that this venvfs does not "
				 "know (%.*s); use a newer venvfs, or another "
				 "VENVFS_CACHE_DIR",
				 store->path, first_line(&text), (const char *)text.data);
	return 0;
}

static bool is_part_name(const char *name)
{
	/* With these beginnings also come the temporary names that they are written
	 * under. */
	if (strncmp(name, "CACHEDIR.TAG", 12) == 0 || strncmp(name, "format", 6) == 0)
		return true;
	for (int i = 0; i < STORE_DIRS; i++) {
		if (strcmp(name, dir_names[i]) == 0)
			return true;
	}
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Does the directory hold what no maker of a cache puts there? Others may be making it
 * now. */
static bool has_foreign_entries(int dirfd)
{
	cleanup_dir DIR *dir = file_list_dir(dirfd);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (!is_part_name(entry->d_name))
			return true;
	}
	return dir == NULL;
}

/* A new cache, or one whose maker was killed half-way: its parts, and `format` last. */
static int make_parts(struct store *store, struct error *reterr)
{
	if (has_foreign_entries(store->fd)) {
		/* Others may have finished it since, and put more into it. */
		if (check_format(store, NULL) == 0)
			return 0;
		return error_set(
		    reterr, -ENOTEMPTY,
		    "'%s' is no venvfs cache and not empty; name another directory in "
		    "VENVFS_CACHE_DIR",
		    store->path);
	}
	int r = file_replace_at(store->fd, "CACHEDIR.TAG", cachedir_tag,
				strlen(cachedir_tag), false);
	for (int i = 0; r == 0 && i < STORE_DIRS; i++)
		r = file_make_dir_at(store->fd, dir_names[i], 0700);
	if (r == 0)
		r = file_replace_at(store->fd, "format", format_text, strlen(format_text),
				    true);
	return r < 0 ? error_errno(reterr, r, "cannot make the cache '%s'", store->path)
		     : 0;
}

static int open_own(struct store *store, const char *path, struct error *reterr)
{
	int r = trust_make_path(path, "VENVFS_CACHE_DIR", &store->path, reterr);
	if (r < 0)
		return r;
	store->fd =
	    file_open(AT_FDCWD, store->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (store->fd < 0)
		return error_errno(reterr, store->fd, "cannot open the cache '%s'",
				   store->path);
	r = check_format(store, reterr);
	if (r == -ENOENT)
		r = make_parts(store, reterr);
	store->writable = r == 0 && faccessat(store->fd, ".", W_OK, AT_EACCESS) == 0;
	return r;
}

/* Uids that VENVFS_TRUST_CACHE_UIDS names, after our own and root's. */
static size_t trusted_owners(uid_t ret_owners[16])
{
	size_t count = 0;
	ret_owners[count++] = geteuid();
	ret_owners[count++] = 0;
	const char *text = getenv("VENVFS_TRUST_CACHE_UIDS");
	while (text && *text && count < 16) {
		char *end;
		unsigned long uid = strtoul(text, &end, 10);
		if (end == text)
			break;
		ret_owners[count++] = (uid_t)uid;
		text = end + strspn(end, ",: ");
	}
	return count;
}

static int open_shared(struct store *store, const char *path, struct error *reterr)
{
	int r = path_canonical(path, &store->path, reterr);
	if (r < 0)
		return r;
	uid_t owners[16];
	size_t count = trusted_owners(owners);
	r = trust_check_path(store->path, owners, count, "VENVFS_TRUST_CACHE_UIDS",
			     reterr);
	if (r < 0)
		return r;
	store->fd =
	    file_open(AT_FDCWD, store->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (store->fd < 0)
		return error_errno(reterr, store->fd, "cannot open the cache '%s'",
				   store->path);
	r = check_format(store, reterr);
	if (r == -ENOENT)
		return error_set(reterr, -ENOENT, "'%s' is no venvfs cache", store->path);
	return r;
}

static int open_dirs(struct store *store, struct error *reterr)
{
	for (int i = 0; i < STORE_DIRS; i++) {
		if (store->writable)
			(void)file_make_dir_at(store->fd, dir_names[i], 0700);
		int fd =
		    file_open_beneath(store->fd, dir_names[i], O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0 && fd != -ENOENT && fd != -EACCES)
			return error_errno(reterr, fd, "cannot open '%s/%s'", store->path,
					   dir_names[i]);
		store->dirs[i] = fd < 0 ? -1 : fd;
	}
	return 0;
}

int store_open(const char *path, enum store_access access, struct store **ret,
	       struct error *reterr)
{
	CLEANUP(store_freep) struct store *store = calloc(1, sizeof(*store));
	if (!store)
		return -ENOMEM;
	store->fd = -1;
	for (int i = 0; i < STORE_DIRS; i++)
		store->dirs[i] = -1;
	store->object_threshold = object_threshold();
	int r = read_boot_id(store->boot_id);
	if (r == 0)
		r = access == STORE_OWN ? open_own(store, path, reterr)
					: open_shared(store, path, reterr);
	if (r == 0)
		r = open_dirs(store, reterr);
	if (r < 0)
		return r;
	*ret = steal_ptr(store);
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	for (int i = 0; i < STORE_DIRS; i++)
		cleanup_close_fn(&store->dirs[i]);
	cleanup_close_fn(&store->fd);
	free(store->path);
	free(store);
}

const char *store_path(const struct store *store)
{
	return store->path;
}

int store_fd(const struct store *store)
{
	return store->fd;
}

bool store_is_writable(const struct store *store)
{
	return store->writable;
}
