/*
 * What the writer's connection need not ask: the rows of nodes that were read or written
 * last, and which names have a row. Only this process changes them, so what is kept is
 * what a query would find. Private to fusefs/upper; under the writer's lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fusefs/upper/filter.h"
#include "fusefs/upper/rows.h"

enum { RECENT_NODES = 512 };

struct recent {
	struct upper_node nodes[RECENT_NODES]; /* id 0: none */
	struct filter names; /* of rows that were written since the start */
	/* Directories that had no rows at the start: those from this id on, and, where
	 * there were no rows at all, lower ones. */
	uint64_t from;
	bool all;
};

/* Before the first question; `all`: there is no row yet. */
void recent_start(struct recent *r, uint64_t from, bool all);

/* NULL: not kept. Borrowed until the next call. */
const struct upper_node *recent_find(const struct recent *r, uint64_t id);
void recent_keep(struct recent *r, const struct upper_node *node);
void recent_drop(struct recent *r, uint64_t id);
/* A change was undone: no node is kept. */
void recent_undo(struct recent *r);

/* A row of this name is written. */
void recent_add_name(struct recent *r, uint64_t parent, const char *name,
		     size_t name_size);
/* False: it certainly has none. */
bool recent_may_have_name(struct recent *r, uint64_t parent, const char *name,
			  size_t name_size);
