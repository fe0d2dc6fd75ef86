/*
 * An image: one unpacked wheel, folder or skeleton as one immutable file (FORMAT.md).
 *
 * The reader trusts nothing of it. Metadata is mapped; each 4 KiB page of it is checked
 * against its sum at first use, every number against its bounds at each use, and a page
 * that the disk loses later reads as zeros and marks the image bad. So each call here may
 * return -EBADMSG  the image is damaged or is no image (serve: EIO), beside what it
 * names. Nothing is allocated after image_open(). Immutable after image_open(): any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/bytes.h"
#include "cache/base/cleanup.h"
#include "cache/base/digest.h"
#include "cache/base/error.h"

enum entry_type {
	ENTRY_DIRECTORY = 1,
	ENTRY_FILE = 2,
	ENTRY_SYMLINK = 3,
	ENTRY_FIFO = 4,
	ENTRY_SOCKET = 5,
	ENTRY_ABSENT = 6, /* the name is not there, whatever lower layers hold */
};

/* One entry, decoded. The name is borrowed from the image and not NUL-terminated. */
struct entry {
	uint32_t number; /* in its image; 0 is the root directory */
	uint32_t
	    parent; /* number of the directory it lies in; the root is its own parent */
	enum entry_type type;
	bool opaque;    /* directory: nothing of lower layers shows through */
	bool in_object; /* file: its content is the object named by its digest */
	uint16_t mode;  /* permission bits, 07777 */
	uint16_t name_size;
	const char *name;
	int64_t mtime; /* seconds since 1970 */
	uint32_t mtime_nsec;
	uint64_t
	    size; /* file: bytes; symlink: bytes of its target; directory: children */
	struct digest digest; /* file: XXH3-128 of its content */
	uint32_t first_child; /* directory: children are first_child ... + size - 1 */
	uint32_t first_sum; /* file of several blocks: its first sum, see image_read() */
	uint64_t data; /* file: offset of its content; symlink: offset of its target */
};

struct image;

/*
 * Opens the image of `size` bytes that starts at byte `offset` of the file `fd` (a
 * multiple of the page size). The descriptor is borrowed for the life of the image, and
 * so is `objects_fd`, the directory that large files are read from (-1: the image has
 * none).
 */
int image_open(int fd, uint64_t offset, uint64_t size, int objects_fd,
	       struct image **ret_image, struct error *reterr);
/*
 * A file of many images, mapped once for all of them, as mapping costs more than reading
 * a small one's head does. The descriptor is borrowed for the life of the pack, the pack
 * for that of its images. -EBADMSG: it is empty.
 */
struct image_pack;
int image_pack_open(int fd, struct image_pack **ret, struct error *reterr);
void image_pack_free(struct image_pack *pack);
DEFINE_CLEANUP(struct image_pack *, image_pack_free);
/* That of `size` bytes at `offset`, which may be any: -EBADMSG. It has no objects. */
int image_open_packed(const struct image_pack *pack, uint64_t offset, uint64_t size,
		      struct image **ret_image, struct error *reterr);
void image_free(struct image *image);
DEFINE_CLEANUP(struct image *, image_free);

/*
 * The same at the end of a process, whose maps and descriptors the kernel takes away all
 * at once, in a fifth of the time.
 */
void image_abandon(struct image *image);

struct digest image_id(const struct image *image);
uint32_t image_count(const struct image *image); /* entries, the root included */
/* Has a page of it been lost or found wrong since it was opened? */
bool image_is_bad(const struct image *image);

/* Entry by number; -ENOENT when there is no such number. */
int image_entry(struct image *image, uint32_t number, struct entry *ret);
/* The entry of that name in the directory entry `dir`; -ENOENT, -ENOTDIR. A binary
 * search. */
int image_lookup(struct image *image, uint32_t dir, const char *name, size_t name_size,
		 struct entry *ret);
/* The entry at a relative path "a/b/c" ("" is the root); -ENOENT, -ENOTDIR. No symlinks.
 */
int image_resolve(struct image *image, const char *path, struct entry *ret);
/* Appends the entry's path relative to the root, "a/b/c". -ENOMEM. */
int image_path(struct image *image, uint32_t number, struct buffer *out);
/* A symlink's target, borrowed, not NUL-terminated (entry->size bytes). -EINVAL: no
 * symlink. */
int image_readlink(struct image *image, const struct entry *entry,
		   const char **ret_target);

/*
 * Content. A block is 64 KiB counted from the start of the file; whole blocks are read
 * and each is checked, so that no byte leaves here unchecked. `scratch` is the caller's
 * memory of at least IMAGE_SCRATCH(size) bytes; the bytes found are somewhere in it, and
 * none at the end of the file. -EBADMSG: content does not match its sum; other errors are
 * the disk's.
 */
struct image_bytes {
	const void *data;
	size_t size;
};
enum { IMAGE_BLOCK = 64 << 10 };
#define IMAGE_SCRATCH(size) ((size) + 2 * (size_t)IMAGE_BLOCK)
int image_read(struct image *image, const struct entry *entry, uint64_t offset,
	       size_t size, void *scratch, struct image_bytes *ret);
/* Appends a whole file; -EFBIG when it is larger than `limit`. */
int image_read_file(struct image *image, const struct entry *entry, size_t limit,
		    struct buffer *out);
/* A new descriptor of the file that holds the content: for verifying and for copying. */
int image_open_object(struct image *image, const struct entry *entry);

/* Optional sections. -ENODATA: the image has nothing of the kind for this entry. */
int image_sha256(struct image *image, uint32_t number, struct sha256 *ret);
int image_owner(struct image *image, uint32_t number, uint32_t *ret_uid,
		uint32_t *ret_gid);
/* The lowest entry that is a hard link of the same file; its content is all of theirs. */
int image_hard_link(struct image *image, uint32_t number, uint32_t *ret_first);
/* Walks the further links, i = 0, 1, ...: the first entry that each belongs to. */
int image_hard_link_row(struct image *image, uint32_t i, uint32_t *ret_first);
/* The i-th extended attribute of an entry; the name and value are borrowed. */
struct xattr {
	const char *name; /* not NUL-terminated */
	const void *value;
	uint32_t name_size, value_size;
};
int image_xattr(struct image *image, uint32_t number, uint32_t i, struct xattr *ret);
/* The installed RECORD that does not depend on a mount: rows sorted, one line each. */
int image_record(struct image *image, const char **ret_text, size_t *ret_size);

/* What mount needs of a wheel; any key may stand several times. */
enum info_key {
	INFO_NAME = 1, /* as METADATA spells it */
	INFO_VERSION = 2,
	INFO_TAG = 3,            /* a Tag of WHEEL */
	INFO_DIST_INFO = 4,      /* name of the .dist-info directory */
	INFO_CONSOLE_SCRIPT = 5, /* name = module:function, in this form */
	INFO_GUI_SCRIPT = 6,
	INFO_PYTHON_SCRIPT = 7,   /* a script in bin that begins with #!python */
	INFO_RECORD_TEMPLATE = 8, /* a RECORD row whose path depends on the interpreter */
};
struct info {
	enum info_key key; /* one unknown to this version is passed on as it is */
	const char *value; /* borrowed, not NUL-terminated */
	uint32_t size;
};
/* Walks the section: *cursor starts at 0. Returns 1 with *ret filled, 0 at the end. */
int image_info_next(struct image *image, uint32_t *cursor, struct info *ret);
/* The first value of a key. */
int image_info(struct image *image, enum info_key key, struct info *ret);

/*
 * Checks everything: structure, order, bounds, all sums, the id, and when `content` also
 * every byte of content, objects included. For publishing and `cache verify`.
 */
int image_check(struct image *image, bool content, struct error *reterr);
