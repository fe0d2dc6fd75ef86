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

void upper_reap(struct upper *u, uint64_t id)
{
	(void)pthread_mutex_lock(&u->janitor_lock);
	if (u->orphan_count == u->orphan_room) {
		size_t room = u->orphan_room ? 2 * u->orphan_room : REAP_BATCH;
		uint64_t *grown = reallocarray(u->orphans, room, sizeof(*grown));
		/* Without memory it stays until the next mount finds it. */
		if (grown) {
			u->orphans = grown;
			u->orphan_room = room;
		}
	}
	if (u->orphan_count == 0)
		(void)pthread_cond_signal(&u->janitor_wake);
	if (u->orphan_count < u->orphan_room)
		u->orphans[u->orphan_count++] = id;
	(void)pthread_mutex_unlock(&u->janitor_lock);
}

static size_t take_batch(struct upper *u, uint64_t *batch)
{
	(void)pthread_mutex_lock(&u->janitor_lock);
	size_t count = u->orphan_count < REAP_BATCH ? u->orphan_count : REAP_BATCH;
	u->orphan_count -= count;
	if (count > 0)
		memcpy(batch, u->orphans + u->orphan_count, count * sizeof(*batch));
	(void)pthread_mutex_unlock(&u->janitor_lock);
	return count;
}

/* Content first: a row without content is found again, content without a row is not. */
static int reap_batch(struct upper *u, const uint64_t *batch, size_t count)
{
	struct upper_reader *reader;
	int r = upper_sync(u);
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
	if (code == SQLITE_FULL) {
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

/* False when it is to end. Unlinked nodes wait a second for more of their kind. */
static bool wait_for_work(struct upper *u)
{
	struct timespec until = { .tv_sec = 0 };
	int r = 0;
	(void)pthread_mutex_lock(&u->janitor_lock);
	while (!u->janitor_stop && !u->write_back_due && r == 0) {
		if (u->orphan_count == 0) {
			(void)pthread_cond_wait(&u->janitor_wake, &u->janitor_lock);
			continue;
		}
		if (until.tv_sec == 0) {
			(void)clock_gettime(CLOCK_REALTIME, &until);
			until.tv_sec += REAP_SECONDS;
		}
		r = pthread_cond_timedwait(&u->janitor_wake, &u->janitor_lock, &until);
	}
	bool go_on = !u->janitor_stop;
	(void)pthread_mutex_unlock(&u->janitor_lock);
	return go_on;
}

static void *work(void *argument)
{
	struct upper *u = argument;
	while (wait_for_work(u)) {
		(void)upper_reap_now(u);
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
