/*
 * All that lies in a folder, with its stamps: what is to be read, and, scanned again,
 * whether it has stayed as it was. Private to cache/folder. One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cache/base/digest.h"
#include "cache/base/error.h"

struct found {
	char *path; /* relative, "" for the folder itself */
	uint64_t dev, ino, size;
	int64_t mtime, ctime;
	uint32_t mtime_nsec, ctime_nsec;
	uint32_t mode, uid, gid, nlink;
	size_t first; /* index of the first found that is the same file; else its own */
};

/* By depth and name, the order in which an image numbers its entries. */
struct scan {
	struct found *found;
	size_t count, room;
};

/*
 * `root` is a descriptor of the folder `path`, which the text of an error begins with.
 * Nothing is opened but folders, no symlink is followed.
 */
int scan_folder(int root, const char *path, struct scan *ret, struct error *reterr);
void scan_release(struct scan *scan);

/* Is it still the same file with the same content? Says nothing of further links. */
bool scan_is_same(const struct found *a, const struct found *b);
void scan_from_stat(const struct stat *st, struct found *ret);
/* Names the state of the folder: whatever changes in it changes this. */
struct digest scan_stamps(const struct scan *scan);
/* Seconds since 1970 of the latest change of anything in it. */
int64_t scan_newest(const struct scan *scan);
