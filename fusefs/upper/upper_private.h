/* What the parts of the upper share. Private to fusefs/upper. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "fusefs/upper/content_private.h"
#include "fusefs/upper/filter.h"
#include "fusefs/upper/recent.h"
#include "fusefs/upper/sql.h"
#include "fusefs/upper/upper.h"

enum {
	READERS = 2,                /* for listings */
	NUMBERS_RESERVED = 65536,   /* at a time, by a commit that is synced */
	NUMBERS_OF_ONE_CHANGE = 64, /* at most; what a reservation must leave */
	WAL_CHECKPOINT = 4 << 20,   /* bytes: written back aside after as many more */
	WAL_STOP = 12 << 20,        /* bytes: written back under the lock */
	RESERVE = 16 << 20, /* bytes kept free for the WAL, half of it for the database */
	REAP_SECONDS = 1,   /* how long an unlinked file may stay */
	REAP_BATCH = 256,
	NOTES_OF_ONE_CHANGE = 64,
	NOTES_MOST = 1 << 16,
};

struct id_list {
	uint64_t *ids;
	size_t count, room;
};

struct upper_reader {
	struct sql sql;
	pthread_mutex_t busy;
	bool listing;
	struct recent *recent; /* the writer's; else NULL */
};

struct upper {
	char *path, *index_path;
	int fd, lock_fd;
	bool sync;
	bool again;
	int (*on_first)(void *context);
	void *context;
	atomic_bool exists; /* index.db is there and open; never false again */
	struct content content;
	struct filter filter;
	struct upper_reader readers[READERS];
	atomic_uint next_reader;

	pthread_mutex_t lock;       /* the writer's */
	struct upper_reader writer; /* guarded by lock, as are those down to in_change */
	struct recent recent;
	uint64_t next, mark, change;
	struct upper_record record;
	bool in_change;
	bool due, due_adds; /* a change that has not started, as there are no rows yet */
	atomic_bool armed;  /* numbers are reserved, and the upper is marked as in use */
	atomic_bool low;    /* the room kept for removing could not be refilled */
	int reserve_fd;     /* a file that is given up for the database */
	int db_fd, wal_fd;  /* for syncing and reserving; open as long as the database */
	int page_size;
	_Atomic(uint64_t) wal_size;
	uint64_t wal_asked; /* guarded by lock: its size when the janitor was told last */

	pthread_t janitor;
	bool has_janitor;
	pthread_mutex_t janitor_lock;
	pthread_cond_t janitor_wake;
	bool janitor_stop; /* guarded by janitor_lock, as are those below */
	bool write_back_due;
	bool janitor_timed; /* it wakes by itself */
	struct id_list orphans;
	struct id_list
	    notes; /* nodes whose row does not say yet that they have content */
	pthread_mutex_t reap_lock; /* one reaps at a time */
	struct sql aside;          /* the janitor's connection, for checkpoints */
};

/* start.c: opens or makes index.db, its connections and what is remembered of it. */
int upper_open_index(struct upper *u, bool create);
void upper_close_index(struct upper *u);
/* Removes its files, of an index that never held a row. */
void upper_drop_index(struct upper *u);
/* Reserves numbers and marks the upper as in use, on disk. Under the writer's lock. */
int upper_arm(struct upper *u);
/* Removes content of which no row knows. */
int upper_sweep(struct upper *u);

/* base.c: decides what becomes of a staged base; `u->change` is the last one committed.
 */
int upper_base_recover(struct upper *u);

/* janitor.c */
int janitor_start(struct upper *u);
void janitor_stop(struct upper *u);
void janitor_write_back(struct upper *u);
/*
 * Rows that shall say that their node has content do so with the next changes, whatever
 * those are about; the janitor sees to it that there is one. notes_write() does it for
 * some, inside a change, and notes_done() follows when that was committed.
 */
void notes_add(struct upper *u, uint64_t id);
int notes_write(struct upper *u, size_t *ret_count);
/* The next notes_write() would write this row. */
bool notes_have(struct upper *u, uint64_t id);
void notes_done(struct upper *u, size_t count);
/* All of them, by changes of their own; outside of one. */
int notes_flush(struct upper *u);

/* reserve.c: keeps room for the WAL and the database, so that removing always works. */
void reserve_refill(struct upper *u);
/* Gives it up, so that the WAL can be written back. */
void reserve_release(struct upper *u);
