/* What the parts of a rebase share. Private to fusefs/overlay. */
#pragma once

#include "fusefs/overlay/overlay_private.h"
#include "fusefs/overlay/rebase.h"

/*
 * Ids and cookies that are not given out before it is certain that they are needed. Above
 * all that are real.
 */
#define PLACE_NODE (UINT64_C(1) << 60)
#define PLACE_COOKIE (UINT64_C(1) << 63)

enum { REBASE_DEEPEST = 1000 };

/* A dentry row, of before or of after. */
struct rebase_name {
	struct upper_dentry d; /* d.name is `text` */
	char *text;
	bool implied; /* a pin that is in no row: a further name of a changed file */
	bool same;    /* of before and after alike */
};

enum rebase_content {
	CONTENT_STAYS, /* none, or under the id that it has */
	CONTENT_MOVED, /* that of `from` in files/ */
	CONTENT_LOWER, /* that of `from` in its image */
};

/* A node row of after. */
struct rebase_node {
	struct upper_node row;
	uint64_t from; /* its id before */
	enum rebase_content content;
	bool lower_xattrs;    /* those of the image of `from`, not those of its rows */
	char *target;         /* of a symlink that gets a row */
	uint32_t names;       /* that lead to it */
	uint32_t directories; /* in it */
	bool is_root;
};

struct rebase_names {
	struct rebase_name *items;
	size_t count, room;
};

struct rebase_nodes {
	struct rebase_node *items;
	size_t count, room;
};

/* A directory that has rows somewhere below it. */
struct rebase_touched {
	uint64_t dir, parent;
};

struct rebase {
	const struct rebase_request *q;
	struct error *reterr;
	struct overlay *o; /* over the tree of before */
	struct upper_reader *reader;
	struct rebase_names before;     /* by parent and name */
	struct rebase_nodes rows;       /* of before, by id */
	struct rebase_touched *touched; /* by parent */
	size_t touched_count, touched_room;
	uint64_t *moved; /* sorted: lower nodes that a row that is no pin leads to */
	size_t moved_count, moved_room;
	struct rebase_names after;
	struct rebase_nodes nodes;
	struct rebase_slot *slots; /* of rebase_index.c */
	size_t slot_count, slot_room;
	uint64_t numbers; /* how many are needed */
	size_t solid; /* names of after so far that are no bytecode and no directory */
	size_t gone;  /* names of before that nothing is left of */
	struct rebase_launcher *launchers; /* that are judged last */
	size_t launcher_count;
	struct buffer path;
	char **conflicts;
	size_t conflict_count, conflict_room;
	unsigned depth;
};

/* A directory that is being judged. */
struct rebase_place {
	uint64_t old_dir;
	bool has_old;  /* it has lower names of before, which count */
	bool is_moved; /* a lower one that was renamed: all it showed is carried */
	/* Of a directory that was made in place of a lower one, that one: its names count
	 * as removed where they were not made again. Else 0. */
	uint64_t lower_dir;
	uint64_t new_dir; /* the lower directory of after; 0: none */
	uint64_t out_dir; /* where its names will be */
	bool is_cache;    /* __pycache__ */
	bool is_info;     /* *.dist-info */
};

/* A name that is being judged. */
struct rebase_case {
	const struct rebase_place *in;
	const char *name;
	size_t size;
	const struct rebase_name *row; /* or NULL */
	struct found f;                /* what was shown; id 0: nothing */
	bool has_lo, has_ln;           /* the lower has it: before, after */
	struct node lo, ln;
};

/* rebase_rows.c: what there was. */
int rebase_load(struct rebase *r);
void rebase_release(struct rebase *r);
/* The first row of a directory in r->before; they are in a row. */
size_t rebase_first_of(const struct rebase *r, uint64_t parent);
const struct rebase_name *rebase_find_name(const struct rebase *r, uint64_t parent,
					   const char *name, size_t size);
const struct rebase_node *rebase_find_row(const struct rebase *r, uint64_t id);
bool rebase_is_moved(const struct rebase *r, uint64_t id);
int rebase_add_name(struct rebase_names *names, const struct upper_dentry *d);
int rebase_compare_names(const void *a, const void *b);

/* rebase_index.c: nodes of after, and what was done, by id. */
enum rebase_key {
	KEY_ID,     /* of after */
	KEY_MADE,   /* of before, of something lower that gets a node of its own */
	KEY_JUDGED, /* of before: a directory that was judged */
	KEY_TOUCHED /* of before: one that is in r->touched */
};
/* The place in r->nodes; SIZE_MAX: none. */
size_t rebase_find_key(const struct rebase *r, enum rebase_key key, uint64_t id);
/* -EBADMSG: it is there already. */
int rebase_put_key(struct rebase *r, enum rebase_key key, uint64_t id, size_t place);
/* Takes the node's target. *ret: its place. */
int rebase_add_node(struct rebase *r, struct rebase_node *take_node, size_t *ret);

/* rebase_judge.c: one directory and all below it. */
int rebase_judge(struct rebase *r, const struct rebase_place *place);

/* rebase_put.c: what there will be. */
int rebase_put_name(struct rebase *r, const struct rebase_case *c, uint64_t node,
		    bool pin);
int rebase_put_made(struct rebase *r, const struct rebase_case *c, uint64_t *ret_id);
/* A lower directory that has no lower side any more. */
int rebase_put_directory(struct rebase *r, const struct rebase_case *c, uint64_t *ret_id);
/* The row of a lower node, now of the lower of after. -EEXIST: that has another one. */
int rebase_put_lower(struct rebase *r, const struct rebase_case *c);
int rebase_put_root(struct rebase *r);
int rebase_conflict(struct rebase *r);

/* rebase_apply.c: writes it. */
int rebase_apply(struct rebase *r);
