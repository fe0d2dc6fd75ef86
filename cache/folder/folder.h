/*
 * A plain folder becomes an image: a data tree, an existing site-packages. One thread at
 * a time for one folder; several folders at once.
 */
#pragma once

#include <stdbool.h>

#include "cache/store/store.h"

struct folder_added {
	struct folder_note note; /* image, entries, size, canonical path */
	bool was_known;          /* by its stamps: nothing of it was read */
};

/*
 * Kept are names, types (folders, files, symlinks, fifos, sockets), permission bits with
 * set-id and sticky, owners, mtimes to the nanosecond, user.* attributes and which names
 * are hard links of each other; the same folder becomes the same image wherever and in
 * whatever order it is stored. Refused with a text that names the path: device nodes,
 * what cannot be read, POSIX ACLs (their loss could give a group more than it had), mount
 * points below the folder, and what changed while it was read. Not kept: other
 * attributes, ctime, and that a file is sparse.
 */
int folder_add(struct store *store, const char *path, struct folder_added *ret,
	       struct error *reterr);
