/* Private to cache/env/lock: the graph of a uv.lock, and what of it is reached. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/env/lock/fill.h"
#include "cache/env/lock/selection.h"

struct uv_package {
	const json_t *json, *source;
	const char *name, *version; /* borrowed; version may be NULL */
	bool reached, started;      /* started: before dependencies were followed */
	bool wanted_root;           /* the project itself, with what it needs */
	struct name_list queued;    /* extras that were, or are to be, followed */
};

/* Borrows from the parsed lock. */
struct uv_graph {
	struct reading *reading;
	const json_t *lock;
	struct uv_package *packages; /* ordered by name */
	size_t count;
	const struct uv_package *project; /* the one that is meant; NULL: a workspace */
	struct name_list
	    active; /* as uv encodes extras, groups and projects in markers */
	struct uv_visit *queue;
	size_t queue_count, queue_room;
};

int uv_graph_init(struct reading *r, const json_t *lock, struct uv_graph *ret);
void uv_graph_release(struct uv_graph *graph);

/* The first one of that name; they stand together. NULL: there is none. */
struct uv_package *uv_graph_first(struct uv_graph *graph, const char *name);
/*
 * Marks all that these roots need, by what of them is chosen. Of a workspace that is no
 * project itself, what its manifest asks for is added.
 */
int uv_graph_walk(struct uv_graph *graph, struct uv_package *const *roots, size_t count,
		  const struct selection *selection, bool manifest);
