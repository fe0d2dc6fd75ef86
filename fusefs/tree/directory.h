/* Directories that several layers have, made on first visit. Private to fusefs/tree. */
#pragma once

#include <stdatomic.h>

#include "fusefs/tree/tree.h"

struct source {
	uint32_t layer; /* index in the tree's layers */
	uint32_t entry;
};

/* One name of a merged directory, in the order of names: who shows it, and who else has
 * it. */
struct merged_name {
	struct source shown;
	uint32_t first_hidden; /* in names->hidden, by priority */
	uint32_t hidden : 31;
	uint32_t shared : 1; /* a directory that at least one of the hidden adds to */
};

struct names {
	size_t count;
	struct merged_name *by_name;
	uint32_t *by_node; /* indices into by_name, in the order of node ids */
	struct source *hidden;
};

struct directory {
	struct directory *next;        /* in its bucket; set once */
	uint64_t node;                 /* named after its first source */
	_Atomic(struct names *) names; /* NULL until the first visit */
	size_t count;
	struct source sources[]; /* by priority */
};

struct links;

enum { BUCKETS = 1024 };

struct tree {
	struct tree_options options;
	struct tree_layer *layers;
	uint32_t *by_number; /* indices into layers, in the order of layer numbers */
	struct directory **grafts;      /* where each graft leads; some may be the same */
	_Atomic(struct links *) *links; /* of each layer; NULL until it is first needed */
	/* Merged directories by node id; only ever added to, at the head of a bucket. */
	_Atomic(struct directory *) buckets[BUCKETS];
};

/* Where an entry lies: a single layer's directory, or a merged one. */
struct place {
	struct directory *merged; /* or NULL: then layer and entry */
	size_t layer;
	struct entry entry;
};

/* Appends all directories (struct source) that meet at `to`, by priority. */
int collect_sources(const struct tree *tree, const char *to, struct buffer *sources);

uint64_t node_id(const struct tree *tree, size_t layer, uint32_t entry);
/* The place of a directory node; -ENOENT, -ENOTDIR. */
int directory_find(struct tree *tree, uint64_t id, struct place *ret);
/* The names of a merged directory, made when it is the first visit. */
int directory_names(struct tree *tree, struct directory *dir, const struct names **ret);
/* The merged directory that a shared name of `names` is. */
int directory_child(struct tree *tree, const struct names *names,
		    const struct merged_name *name, struct directory **ret);
/* The merged directory of that node id, if it was made; or NULL. */
struct directory *directory_known(struct tree *tree, uint64_t node);
/*
 * Takes sources (borrowed) for a directory that is made unless it is known already. NULL
 * without memory.
 */
struct directory *directory_make(struct tree *tree, uint64_t node,
				 const struct source *sources, size_t count);
/* -ENOENT when no layer shows the name. */
int names_find(struct tree *tree, const struct names *names, const char *name,
	       size_t name_size, const struct merged_name **ret);
void directory_free(struct directory *dir);
