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

struct overlay_change {
	const char *path; /* relative to the root */
	enum change_kind kind;
	uint64_t change; /* goes up with every change of the rows */
	int64_t stamp;   /* ctime of content of its own, in ns; else 0 */
};

/*
 * Visits every change in no order until `visit` returns something else than 0, which is
 * returned; a directory whose names alone have changed is none. What a directory that was
 * removed or moved had below it is not visited, what was made or changed in it is. Costs
 * memory for each changed directory, for as long as it takes.
 */
typedef int overlay_visit_change(void *context, const struct overlay_change *change);
int overlay_changes(struct overlay *o, overlay_visit_change *visit, void *context);
