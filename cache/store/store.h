/*
 * One cache directory: images, objects and which wheel became which image (FORMAT.md).
 * Any number of processes and threads may read and add at once: what is published is
 * immutable, and readers take no lock. Any thread after store_open().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cache/base/digest.h"
#include "cache/base/error.h"
#include "cache/store/image.h"

struct store;

enum store_access {
	STORE_OWN,   /* one's own: made when missing, 0700; readable even where unwritable
		      */
	STORE_SHARED /* of VENVFS_CACHE_PATH: never written, its owner must be trusted */
};

/*
 * -EACCES: the directory is another's, or one that others could change. -EPROTO: a format
 * version that this program does not know. The text says which and what helps.
 */
int store_open(const char *path, enum store_access access, struct store **ret,
	       struct error *reterr);
void store_free(struct store *store);
DEFINE_CLEANUP(struct store *, store_free);
const char *store_path(const struct store *store);
int store_fd(const struct store *store); /* of the directory itself, borrowed */
bool store_is_writable(const struct store *store);

/* -ENOENT: no such image here. The image borrows from the store, which must outlive it.
 */
int store_open_image(struct store *store, const struct digest *id, struct image **ret,
		     struct error *reterr);

/* What wheels/ knows of a wheel file. */
struct wheel_note {
	struct sha256 sha256;
	struct digest image;
	uint64_t size;       /* of the .whl, bytes */
	char file_name[256]; /* numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.whl */
	char origin[512];    /* where it came from: a file:// URL, or empty */
	char source[16];     /* of what kind that is, for people: "index"; or empty */
	bool lenient; /* its RECORD lists more or less than there is: only for who takes
			 such */
};
/*
 * -ENOENT: unknown here, or known but not to be trusted any more (published before a
 * power cut and damaged by it).
 */
int store_find_wheel(struct store *store, const struct sha256 *sha256,
		     struct wheel_note *ret);
/* After image_writer_publish(): from now on the wheel is found. */
int store_note_wheel(struct store *store, const struct wheel_note *note,
		     struct error *reterr);

/* It is not found any more; its image stays. Quietly nothing on a read-only cache. */
void store_forget_wheel(struct store *store, const struct sha256 *sha256);

/* Calls `visit` for each wheel in the order of file names; stops at what is not 0. */
typedef int store_visit_wheel(void *context, const struct wheel_note *note);
int store_each_wheel(struct store *store, store_visit_wheel *visit, void *context);

/* What folders/ knows of a plain folder that became an image. */
struct folder_note {
	struct digest image;
	/* Of the stamps of all it held; all zero: it must be read again to be known. */
	struct digest stamps;
	uint64_t entries, size; /* of its files, bytes */
	char path[4096];        /* canonical; UTF-8 without a line break */
};
/* As for wheels; found by the canonical path. The last one noted of a path stands. */
int store_find_folder(struct store *store, const char *path, struct folder_note *ret);
int store_note_folder(struct store *store, const struct folder_note *note,
		      struct error *reterr);
void store_forget_folder(struct store *store, const char *path);
typedef int store_visit_folder(void *context, const struct folder_note *note);
int store_each_folder(struct store *store, store_visit_folder *visit, void *context);

/*
 * A wheel file that was read once is known again by device, inode, size, mtime and ctime.
 * -ENOENT: not seen.
 */
int store_find_seen(struct store *store, const struct stat *st, struct sha256 *ret);
/* Quietly does nothing for a file that changed within the last two seconds. */
int store_note_seen(struct store *store, const struct stat *st,
		    const struct sha256 *sha256);

/*
 * Small derived facts that can be made again (interpreter probes, plans): kept under
 * <kind>/<hex of key>. -ENOENT. Values are whole or absent, never partial.
 */
int store_get_fact(struct store *store, const char *kind, const struct digest *key,
		   struct buffer *out);
int store_put_fact(struct store *store, const char *kind, const struct digest *key,
		   const void *value, size_t size);

/* Makes what was published since the last call safe against a power cut: one syncfs. */
int store_sync(struct store *store);
