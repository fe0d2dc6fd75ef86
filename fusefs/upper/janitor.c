/*
 * A thread for what no request should wait for: writing the WAL back, and removing what
 * was unlinked and let go of.
 *
 * Content of an unlinked node goes only once the transaction that unlinked it is on disk:
 * else, after a power cut, the name would be back and its content not. So nodes are
 * collected for a second and one flush serves them all.
 */
#include "fusefs/upper/upper_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void janitor_write_back(struct upper *u)
{
	(void)pthread_mutex_lock(&u->janitor_lock);
	if (!u->write_back_due)
		(void)pthread_cond_signal(&u->janitor_wake);
	u->write_back_due = true;
	(void)pthread_mutex_unlock(&u->janitor_lock);
}

/* Without memory it is left out: the next mount finds it. */
static void add_locked(struct upper *u, struct id_list *list, uint64_t id)
{
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : REAP_BATCH;
		uint64_t *grown = reallocarray(list->ids, room, sizeof(*grown));
		if (grown) {
			list->ids = grown;
			list->room = room;
		}
	}
	if (list->count < list->room)
		list->ids[list->count++] = id;
	if (!u->janitor_timed)
		(void)pthread_cond_signal(&u->janitor_wake);
}

void upper_reap(struct upper *u, uint64_t id)
{
	(void)pthread_mutex_lock(&u->janitor_lock);
	add_locked(u, &u->orphans, id);
	(void)pthread_mutex_unlock(&u->janitor_lock);
}

void notes_add(struct upper *u, uint64_t id)
{
	(void)pthread_mutex_lock(&u->janitor_lock);
	/* Again when it is next looked at. */
	if (u->notes.count < NOTES_MOST)
		add_locked(u, &u->notes, id);
	(void)pthread_mutex_unlock(&u->janitor_lock);
}

static size_t first_notes(struct upper *u, uint64_t *ids)
{
	(void)pthread_mutex_lock(&u->janitor_lock);
	size_t count =
	    u->notes.count < NOTES_OF_ONE_CHANGE ? u->notes.count : NOTES_OF_ONE_CHANGE;
	if (count > 0)
		memcpy(ids, u->notes.ids, count * sizeof(*ids));
	(void)pthread_mutex_unlock(&u->janitor_lock);
	return count;
}

bool notes_have(struct upper *u, uint64_t id)
{
	bool found = false;
	(void)pthread_mutex_lock(&u->janitor_lock);
	for (size_t i = 0; !found && i < u->notes.count && i < NOTES_OF_ONE_CHANGE; i++)
		found = u->notes.ids[i] == id;
	(void)pthread_mutex_unlock(&u->janitor_lock);
	return found;
}

int notes_write(struct upper *u, size_t *ret_count)
{
	uint64_t ids[NOTES_OF_ONE_CHANGE];
	int r = 0;
	*ret_count = first_notes(u, ids);
	for (size_t i = 0; r == 0 && i < *ret_count; i++) {
		struct upper_node row;
		/* It may be gone, or damaged, which is nothing to this change. */
		if (upper_find_node(&u->writer, ids[i], &row) < 0 ||
		    (row.flags & NODE_CONTENT))
			continue;
		row.flags |= NODE_CONTENT;
		r = upper_update_node(u, &row);
	}
	return r;
}

void notes_done(struct upper *u, size_t count)
{
	if (count == 0)
		return;
	(void)pthread_mutex_lock(&u->janitor_lock);
	u->notes.count -= count;
	memmove(u->notes.ids, u->notes.ids + count,
		u->notes.count * sizeof(*u->notes.ids));
	(void)pthread_mutex_unlock(&u->janitor_lock);
}

int notes_flush(struct upper *u)
{
	uint64_t ids[NOTES_OF_ONE_CHANGE];
	struct upper_reader *reader;
	int r = 0;
	while (r == 0 && first_notes(u, ids) > 0) {
		r = upper_begin(u, false, &reader);
		if (r < 0)
			return r;
		r = upper_commit(u, NULL);
		upper_end(u);
	}
	return r;
}

static size_t take_batch(struct upper *u, uint64_t *batch)
{
	(void)pthread_mutex_lock(&u->janitor_lock);
	size_t count = u->orphans.count < REAP_BATCH ? u->orphans.count : REAP_BATCH;
	u->orphans.count -= count;
	if (count > 0)
		memcpy(batch, u->orphans.ids + u->orphans.count, count * sizeof(*batch));
	(void)pthread_mutex_unlock(&u->janitor_lock);
	return count;
}

/* A row with a name is nobody's orphan, whatever made somebody think so. */
static size_t leave_named(struct upper *u, uint64_t *batch, size_t count)
{
	size_t kept = 0;
	struct upper_reader *reader = upper_read(u);
	for (size_t i = 0; i < count; i++) {
		struct upper_node row;
		if (upper_find_node(reader, batch[i], &row) == 0 && row.nlink == 0)
			batch[kept++] = batch[i];
	}
	upper_read_end(u, reader);
	return kept;
}

/* Content first: a row without content is found again, content without a row is not. */
static int reap_batch(struct upper *u, uint64_t *batch, size_t count)
{
	struct upper_reader *reader;
	int r = upper_sync(u);
	count = leave_named(u, batch, count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = content_remove(u, batch[i]);
	if (r == 0)
		r = upper_begin(u, false, &reader);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = upper_delete_node(u, batch[i]);
	if (r == 0)
		r = upper_commit(u, NULL);
	upper_end(u);
	return r;
}

int upper_reap_left(struct upper *u, bool (*is_used)(void *context, uint64_t id),
		    void *context)
{
	if (!upper_has_rows(u))
		return 0;
	(void)pthread_mutex_lock(&u->lock);
	cleanup_statement sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_NODE_ORPHANS);
	int r = s ? 0 : sql_error(&u->writer.sql);
	while (r == 0 && (r = sql_step(&u->writer.sql, s)) == 1) {
		uint64_t id = (uint64_t)sqlite3_column_int64(s, 0);
		if (!is_used || !is_used(context, id))
			upper_reap(u, id);
		r = 0;
	}
	(void)pthread_mutex_unlock(&u->lock);
	return r;
}

bool upper_reap_now(struct upper *u)
{
	uint64_t batch[REAP_BATCH];
	bool any = false;
	size_t count;
	int r = 0;
	(void)pthread_mutex_lock(&u->reap_lock);
	while (r == 0 && (count = take_batch(u, batch)) > 0) {
		any = true;
		r = reap_batch(u, batch, count);
	}
	(void)pthread_mutex_unlock(&u->reap_lock);
	return any;
}

/*
 * Beside readers and the writer; under the writer's lock only when that did not help.
 * What is written back whole, the next commit begins from the start of the WAL.
 */
static void write_back(struct upper *u)
{
	int frames = 0;
	int done = 0;
	(void)pthread_mutex_lock(&u->janitor_lock);
	bool due = u->write_back_due;
	u->write_back_due = false;
	(void)pthread_mutex_unlock(&u->janitor_lock);
	if (!due)
		return;
	int code = sqlite3_wal_checkpoint_v2(u->aside.db, NULL, SQLITE_CHECKPOINT_PASSIVE,
					     &frames, &done);
	/* A quota is SQLITE_IOERR. */
	if (code == SQLITE_FULL || code == SQLITE_IOERR) {
		reserve_release(u);
		code = sqlite3_wal_checkpoint_v2(
		    u->aside.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &done);
	}
	(void)pthread_mutex_lock(&u->lock);
	if (atomic_load(&u->wal_size) > WAL_STOP)
		code = sqlite3_wal_checkpoint_v2(
		    u->aside.db, NULL, SQLITE_CHECKPOINT_RESTART, &frames, &done);
	/* Again with the next commit. */
	if (code != SQLITE_OK)
		u->wal_asked = 0;
	(void)pthread_mutex_unlock(&u->lock);
	reserve_refill(u);
}

/* False when it is to end. What is listed waits a second for more of its kind. */
static bool wait_for_work(struct upper *u)
{
	struct timespec until = { .tv_sec = 0 };
	int r = 0;
	(void)pthread_mutex_lock(&u->janitor_lock);
	while (!u->janitor_stop && !u->write_back_due && r == 0) {
		if (u->orphans.count == 0 && u->notes.count == 0 && !u->janitor_timed) {
			(void)pthread_cond_wait(&u->janitor_wake, &u->janitor_lock);
			continue;
		}
		if (until.tv_sec == 0) {
			(void)clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_sec += REAP_SECONDS;
			u->janitor_timed = true;
		}
		r = pthread_cond_timedwait(&u->janitor_wake, &u->janitor_lock, &until);
	}
	u->janitor_timed = false;
	bool go_on = !u->janitor_stop;
	(void)pthread_mutex_unlock(&u->janitor_lock);
	return go_on;
}

static void *work(void *argument)
{
	struct upper *u = argument;
	while (wait_for_work(u)) {
		(void)upper_reap_now(u);
		(void)notes_flush(u);
		write_back(u);
	}
	return NULL;
}

int janitor_start(struct upper *u)
{
	int r = -pthread_create(&u->janitor, NULL, work, u);
	u->has_janitor = r == 0;
	return r;
}

void janitor_stop(struct upper *u)
{
	if (!u->has_janitor)
		return;
	(void)pthread_mutex_lock(&u->janitor_lock);
	u->janitor_stop = true;
	(void)pthread_cond_signal(&u->janitor_wake);
	(void)pthread_mutex_unlock(&u->janitor_lock);
	(void)pthread_join(u->janitor, NULL);
	u->has_janitor = false;
}
