/* What was changed in an overlay, for people and for commands. Any thread. */
#pragma once

#include <stdint.h>

#include "fusefs/overlay/overlay.h"

enum change_kind {
	CHANGE_ADDED,      /* a name that the lower has not */
	CHANGE_CONTENT,    /* a file of the lower with other content, or in its place */
	CHANGE_ATTRIBUTES, /* mode, owner, xattrs or times of something lower */
	CHANGE_MOVED,      /* something lower under another name */
	CHANGE_REMOVED     /* a name of the lower that is not shown */
};
const char *change_kind_name(enum change_kind kind);

/* A name in a directory: where a report goes on behind it. */
struct overlay_place {
	uint64_t dir;
	const char *name; /* not NUL-terminated */
	size_t name_size;
};

struct overlay_change {
	const char *path; /* relative to the root */
	enum change_kind kind;
	uint64_t change; /* goes up with every change of the rows */
	int64_t stamp;   /* ctime of content of its own, in ns; else 0 */
	struct overlay_place place;
};

/*
 * Visits every change behind the place `after` (NULL: all of them), in the order of
 * places, until `visit` returns something else than 0, which is returned. So what is
 * reported in parts has each change that is there all the while once. A directory whose
 * names alone have changed is none. What a directory that was removed or moved had below
 * it is not visited, what was made or changed in it is. Costs memory for each changed
 * directory, until the end was come to or something has changed.
 */
typedef int overlay_visit_change(void *context, const struct overlay_change *change);
int overlay_changes(struct overlay *o, const struct overlay_place *after,
		    overlay_visit_change *visit, void *context);
