/*
 * Changes that were made over one tree are carried over to another, while nobody serves
 * either: each row is judged, and all are kept, dropped or moved to the ids of the new
 * tree in one step, or nothing is. ARCHITECTURE.md has the
 * rules, FORMAT.md of fusefs/upper the steps. One thread.
 */
#pragma once

#include <stddef.h>

#include "cache/base/error.h"

struct tree;
struct upper;

/* Where it is, for tests that end there. */
enum rebase_step {
	REBASE_JUDGED,    /* nothing was written */
	REBASE_NUMBERED,  /* new numbers are given out */
	REBASE_COPIED,    /* content lies under its new ids too */
	REBASE_COMMITTED, /* the rows are new, `base` is not */
	REBASE_CLEANED,   /* content of what is gone is removed */
};

struct rebase_request {
	struct upper *upper;         /* with rows */
	struct tree *before, *after; /* borrowed */
	const void *base;            /* what the file `base` shall say then */
	size_t base_size;
	/* Told, sorted, of each path that both sides changed. */
	void (*conflict)(void *context, const char *path);
	void (*at)(void *context, enum rebase_step step); /* may be NULL */
	void *context;
};

struct rebase_result {
	size_t kept, gone; /* names */
	size_t conflicts;
};

/* -EEXIST: there are conflicts, and nothing was written. */
int overlay_rebase(const struct rebase_request *request, struct rebase_result *ret,
		   struct error *reterr);
