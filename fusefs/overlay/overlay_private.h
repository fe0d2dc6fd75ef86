/* What the parts of the overlay share. Private to fusefs/overlay. */
#pragma once

#include <pthread.h>

#include "fusefs/overlay/changes.h"
#include "fusefs/overlay/counts.h"
#include "fusefs/tree/tree.h"
#include "fusefs/upper/content.h"
#include "fusefs/upper/upper.h"

enum {
	COPY_LOCKS = 64,
	COPY_CHUNK = 1 << 20,
	COPY_LONG = 4 << 20,  /* bytes from which on a copy is told of as blocking */
	COPY_MOST = 32 << 20, /* bytes of one request to copy, whose caller asks again */
	NAME_MOST = 255,
};

struct place_row;

/* Where directories are, as far as rows say, from one page of a report to the next. */
struct places {
	pthread_mutex_t lock;
	uint64_t change; /* of the rows, when it was collected */
	struct place_row *rows;
	size_t count, room;
};

struct overlay {
	struct overlay_options options;
	struct counts counts;
	struct places places;
	/* One copy-up of a node at a time: by id; held over I/O on that node alone. */
	pthread_mutex_t copying[COPY_LOCKS];
};

/* A walk upward: true when it has come round, which damaged rows can have it do. */
struct climb {
	uint64_t seen;
	size_t steps, turn;
};
static inline bool climb_is_round(struct climb *c, uint64_t dir)
{
	if (dir == c->seen)
		return true;
	if (c->steps++ == c->turn) {
		c->seen = dir;
		c->turn = 2 * c->turn + 1;
		c->steps = 0;
	}
	return false;
}

/* A node as both sides have it. */
struct found {
	uint64_t id;
	bool has_row, has_lower;
	bool is_new;           /* has certainly no content yet */
	bool is_cut;           /* was cut to nothing, and its empty content got lost */
	struct upper_node row; /* when has_row */
	struct node lower;     /* when has_lower; its name is the lower's */
};

/* A name in a directory. */
struct found_name {
	uint64_t dir;
	const char *name; /* borrowed from who asked */
	size_t name_size;
	bool has_row;
	struct upper_dentry row;
	struct found node; /* id 0: there is nothing */
};

/* node.c: both rules. `r` may be NULL: no row was ever written. */
int node_find(struct overlay *o, struct upper_reader *r, uint64_t id, struct found *ret);
/* -ENOENT never: ret->node.id is 0 then. */
int name_find(struct overlay *o, struct upper_reader *r, uint64_t dir, const char *name,
	      struct found_name *ret);
/* Does a directory have a lower side? */
int node_has_lower_names(struct overlay *o, struct upper_reader *r, uint64_t dir,
			 bool *ret);
bool node_is_directory(const struct found *f);
bool node_is_file(const struct found *f);
int node_stat(struct overlay *o, const struct found *f, struct stat *ret);
/* The row of a node as its image has it. */
int node_as_row(struct overlay *o, const struct found *f, struct upper_node *ret);

/*
 * names.c: changes, inside upper_begin(). node_take() gives the node a row, and when
 * `pin` the dentry row that says so; name_put() makes a name lead to a node, name_clear()
 * to nothing, which notes what it hides when that is a directory and `hides` (it reads
 * all of it, too long for a rename); directory_touch() sets mtime and ctime, and counts
 * `subdirectories` more.
 */
struct timespec overlay_now(void);
/* Later than `before`, so that each change shows. */
struct timespec overlay_now_after(const struct timespec *before);
int node_take(struct overlay *o, struct upper_reader *r, struct found *f, bool pin);
int name_put(struct overlay *o, const struct found_name *n, uint64_t node);
int name_clear(struct overlay *o, const struct found_name *n, bool hides);
int directory_touch(struct overlay *o, struct upper_reader *r, struct found *dir,
		    int subdirectories);
/* One name less leads to it; the last one makes it an orphan. */
int node_unlink(struct overlay *o, struct upper_reader *r, struct found *f);
/* After that was committed: when no name is left it goes once the kernel forgets it. */
void node_orphan(struct overlay *o, const struct found *f);
/* list.c: -ENOTEMPTY. `r`: the writer's, whose pages are at hand. */
int directory_is_empty(struct overlay *o, struct upper_reader *r, uint64_t dir);
/* The directory that a change is made in. -ENOENT: it was removed; -ENOTDIR. */
int parent_find(struct overlay *o, struct upper_reader *r, uint64_t dir,
		struct found *ret);
int name_check(const char *name);
/* Cookie and base of a row that covers a lower name. */
void name_cover(const struct node *lower, struct upper_dentry *row);
/*
 * hidden.c: the base of a row that says "nothing" over a directory. Too deep ones, and
 * damaged ones, get none.
 */
void name_hide(struct tree *tree, struct upper_dentry *row);
bool entry_is_bytecode_cache(const struct entry *e);

/* Ends a change that may have failed with `r`: commits and keeps the lock, or undoes. */
int change_end(struct overlay *o, const struct caller *caller, int r, uint64_t node);
/*
 * Inside a change: a request that comes again, after a server died between its commit and
 * its reply, was done. The node that it made.
 */
bool change_was_done(struct overlay *o, const struct caller *caller, uint64_t *ret_node);
/* -EROFS, or upper_begin(). */
int change_begin(struct overlay *o, bool adds, struct upper_reader **ret);

/* Before and after what may take long: others serve meanwhile. */
void overlay_blocking(struct overlay *o, bool begins);
/* copy_up.c: content of its own, of a lower file its first `keep` bytes. */
int content_take(struct overlay *o, uint64_t node, uint64_t keep,
		 struct content_ref *ret);
/* Content of its own if it has any; -ENOENT: it has none, and *ret_found is the node. */
int content_find(struct overlay *o, uint64_t node, struct content_ref *ret,
		 struct found *ret_found);
/* Of a lower file its first `keep` bytes, each block checked. */
int content_copy_lower(const struct node *lower, uint64_t keep, int fd);
/* After -ENOSPC or -EDQUOT: true when what waited to be removed made room, to try again.
 */
bool content_made_room(struct overlay *o, ssize_t r);
/* Clears set-id bits where the caller's write does that. */
int privileges_drop(struct overlay *o, const struct caller *caller, uint64_t node);

/* report.c */
void places_release(struct places *p);
