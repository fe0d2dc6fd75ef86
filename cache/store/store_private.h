/*
 * What the parts of the store share. Private to cache/store.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "cache/store/store.h"

/* The directories of a store; FORMAT.md says what each holds. */
enum store_dir {
	DIR_IMAGES,
	DIR_OBJECTS,
	DIR_WHEELS,
	DIR_FOLDERS,
	DIR_SEEN,
	DIR_UNSYNCED,
	DIR_TMP,
	DIR_LEASES,
	STORE_DIRS
};

struct store {
	char *path;
	int fd;               /* the store's own directory */
	int dirs[STORE_DIRS]; /* -1: not there (a shared store that lacks it) */
	bool writable;
	atomic_flag cleaned;       /* what dead processes had staged was removed */
	uint64_t object_threshold; /* files from this size on are objects of their own */
	char boot_id[40];
};

/* "ab/cdef..." of an id, as below images/ and objects/. */
enum { ID_PATH_SIZE = DIGEST_HEX_SIZE + 1 };
void store_id_path(const struct digest *id, char ret_path[ID_PATH_SIZE]);

/* Checks the object file `fd` against its id by reading it whole. -EBADMSG. */
int store_check_object(int fd, const struct digest *id);
/* An image file, its metadata and when `content` all it names. -EBADMSG. */
int store_check_image(struct store *store, int fd, const struct digest *id, bool content,
		      struct error *reterr);
/* The image of that id with all it names, read and checked. */
int store_check_published(struct store *store, const struct digest *id);

/* Removes facts that nobody asked for in the last 30 days. */
void store_sweep_facts(struct store *store);

/* The value of "key value\n" in a note; false when it is not there or too long. */
bool store_note_value(const char *text, const char *key, char *ret_value, size_t room);
/* The image that the folder's note of that name speaks of; all zero: there is no note. */
struct digest store_folder_image(struct store *store, const char *name);
/* That note loses the mark of its boot, unless it speaks of another image by now. */
void store_settle_folder(struct store *store, const char *name,
			 const struct digest *image);
