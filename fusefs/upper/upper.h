/*
 * What was changed in a mount, as rows (FORMAT.md): index.db says which node a name leads
 * to and what a node is; the content of files lies beside it (content.h). Without a
 * change there is no index.db, and every question is answered with -ENOENT.
 *
 * Threads read and change in turn, under the writer's lock: a change holds it from
 * upper_begin() to upper_end(), which is over one transaction and the reply to who asked
 * for it. Listings go on beside that. All that is read is untrusted: each call
 * may return -EBADMSG (damaged), -EIO, -ENOMEM; changes -ENOSPC and -EDQUOT too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"
#include "fusefs/upper/rows.h"

struct upper_options {
	const char *path;  /* the directory, absolute; made when missing, 0700 */
	bool sync;         /* keep what was promised over a power cut, too */
	const char *owner; /* a mount point: told to who comes second */
	bool
	    again; /* after an earlier server of the same mount: its last record counts */
	/* Called before the very first row is written, may be NULL; what it returns other
	 * than 0 fails that change. */
	int (*on_first)(void *context);
	void *context;
};

struct upper;
struct upper_reader;

/*
 * For who makes an upper ready for a server, from the first look at it to the end of the
 * mount, through servers that come and go: a descriptor whose last close lets go. -EBUSY:
 * another one has it, and the text names its mount.
 */
int upper_hold(const char *path, const char *owner, struct error *reterr);

/*
 * -EBUSY: another server uses it, and the text names its mount. -EPROTO: of a version
 * that is not known. -EACCES: not this user's own directory.
 */
int upper_open(const struct upper_options *options, struct upper **ret,
	       struct error *reterr);
/* Rows go to disk; content does when the disk's own cache does, as it does while mounted.
 */
void upper_close(struct upper *u);
DEFINE_CLEANUP(struct upper *, upper_close);
/* Removes all that was changed, of an upper that nobody uses (-EBUSY). Missing: 0. */
int upper_discard(const char *path, struct error *reterr);
int upper_fd(const struct upper *u); /* of the directory, borrowed */
bool upper_has_rows(struct upper *u);
/* The highest number that a row has; 0 without rows. */
uint64_t upper_last_change(struct upper *u);
/* May there be a row of this node, or of a name in it? Answers without a query. */
bool upper_may_have(struct upper *u, uint64_t node);

/*
 * Reading: NULL when nothing was ever changed, which every question of rows.h takes. For
 * a moment: the reader is the writer's connection, whose pages are at hand, under its
 * lock. A listing has a connection of its own, and may be asked for inside a change (it
 * sees what was committed before).
 */
struct upper_reader *upper_read(struct upper *u);
struct upper_reader *upper_read_list(struct upper *u);
void upper_read_end(struct upper *u, struct upper_reader *reader);

/*
 * A change: begin takes the writer's lock and gives a reader that sees what the
 * transaction did; commit ends it; end lets go of the lock, and undoes what was not
 * committed. `adds` tells that it makes something new, which a full disk refuses while
 * room for removing is still kept.
 */
int upper_begin(struct upper *u, bool adds, struct upper_reader **ret);
/*
 * Without any row so far nothing is made by upper_begin(), but by the first row that is
 * put, so that what fails before leaves no trace; or by this, for who needs numbers or a
 * place for content earlier. Inside a change.
 */
int upper_begin_rows(struct upper *u);
/* What answers a request that comes again after a crash. */
struct upper_record {
	uint64_t unique;
	int result;
	uint64_t node;
};
/* `record` NULL: of no such request; the last one stays. */
int upper_commit(struct upper *u, const struct upper_record *record);
void upper_end(struct upper *u);
/* The last one that was committed; before the first change of this server it is of the
 * server before it. False: there is none. */
bool upper_last_record(const struct upper *u, struct upper_record *ret);

/* Numbers never come again. Inside a change that has begun its rows. */
uint64_t upper_new_node(struct upper *u);
uint64_t upper_new_cookie(struct upper *u);
/*
 * As many in a row, for more than one change needs: given out on disk when it returns, so
 * that content can be made under them first. Outside of a change, with rows.
 */
int upper_take_numbers(struct upper *u, uint64_t count, uint64_t *ret_first);

/* An unlinked node that nobody uses any more: row and content go, not at once. */
void upper_reap(struct upper *u, uint64_t id);
/* Does so now, to make room on a full disk; true when there was something. */
bool upper_reap_now(struct upper *u);

/*
 * Those that an earlier server left unlinked: `is_used` tells which of them somebody
 * still uses; the others are reaped.
 */
int upper_reap_left(struct upper *u, bool (*is_used)(void *context, uint64_t id),
		    void *context);

/* What was committed is on disk when it returns. */
int upper_sync(struct upper *u);

/*
 * The file `base`, which says what layers the rows are over, and the rows change as one:
 * announced before content is made that no row speaks of yet, staged inside the change
 * before its commit, then settled. What a crash leaves in between upper_open() settles,
 * by whether that change is there, and content without a row goes.
 */
int upper_base_announce(struct upper *u);
int upper_base_stage(struct upper *u, const void *text, size_t size);
/* On disk when it returns, and so is the change. */
int upper_base_settle(struct upper *u);
void upper_base_drop(struct upper *u);
/* Does something wait to be settled in an upper at `path`? */
bool upper_base_is_staged(int upper_fd);
