/* Comparing what was shown with what there will be. Private to a rebase. */
#pragma once

#include "fusefs/overlay/rebase_private.h"

/* rebase_same.c: comparing. */
int rebase_same_lower(struct rebase *r, const struct node *lo, const struct node *ln,
		      bool *ret);
/* Does the lower of after hold what was shown before: content, or a target? */
int rebase_equals(struct rebase *r, const struct found *f, const struct node *ln,
		  bool *ret);
bool rebase_is_bytecode(bool in_cache, const char *name, size_t size);

/* rebase_installed.c: what installers wrote, and directories that were made again. */
bool rebase_is_info(const char *name, size_t size);
/* A file by which an installer notes what it did, in a *.dist-info. */
bool rebase_is_installers(bool in_info, const char *name, size_t size);
/* Are both launchers of the same function, and nothing else? */
int rebase_same_launcher(struct rebase *r, const struct found *f, const struct node *ln,
			 bool *ret);
/*
 * A launcher that was made in place of one that the lower had and has no more: does it
 * call the same? Then *ret, and whether it stays is seen when all else was judged: with
 * what it calls.
 */
int rebase_defer_launcher(struct rebase *r, const struct rebase_case *c, bool *ret);
int rebase_judge_launchers(struct rebase *r);
void rebase_release_launchers(struct rebase *r);
/* Does a directory that was made again (old_dir, lower_dir, is_info) hold nothing but
 * what was there before? */
int rebase_is_put_back(struct rebase *r, const struct rebase_place *place, bool *ret);
/* All names that a directory showed, each with a NUL behind it. */
int rebase_names_in(struct rebase *r, uint64_t dir, struct buffer *out);
