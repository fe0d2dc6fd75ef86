/*
 * One connection to index.db; the only door to SQLite. Private to fusefs/upper. One
 * thread at a time.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "cache/base/cleanup.h"

enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_META_READ,
	SQL_META_WRITE,
	SQL_META_MARK,
	SQL_DENTRY_FIND,
	SQL_DENTRY_PUT,
	SQL_DENTRY_DELETE,
	SQL_DENTRY_LIST,
	SQL_DENTRY_BEHIND,
	SQL_DENTRY_CLEAR,
	SQL_PARENTS,
	SQL_NODE_FIND,
	SQL_NODE_ALL,
	SQL_NODE_INSERT,
	SQL_NODE_UPDATE,
	SQL_NODE_DELETE,
	SQL_NODE_LOWER,
	SQL_NODE_ORPHANS,
	SQL_NODE_TARGET,
	SQL_XATTR_FIND,
	SQL_XATTR_PUT,
	SQL_XATTR_DELETE,
	SQL_XATTR_LIST,
	SQL_XATTR_CLEAR,
	STATEMENTS
};

struct sql {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS]; /* prepared at first use */
};

enum sql_mode {
	SQL_CREATE, /* made with our schema */
	/* It must hold that. -EPROTO: of another version; -EBADMSG: not ours; -ENODATA:
	 * it is empty, nothing was ever committed to it. */
	SQL_CHECK,
	SQL_AGAIN, /* a further connection to one that was checked */
};
int sql_open(const char *path, enum sql_mode mode, bool sync, struct sql *ret);
void sql_close(struct sql *sql);
/* Of the file: those made by earlier versions have larger ones. */
int sql_page_size(struct sql *sql);

/* Its statement, ready to be bound; NULL when it cannot be prepared (sql_error()). */
sqlite3_stmt *sql_use(struct sql *sql, enum statement which);
/* Runs a statement that has been bound and gives no rows. */
int sql_run(struct sql *sql, sqlite3_stmt *statement);
/* The next row: 1, or 0 at the end, or a negative errno; but for 1 it was reset. */
int sql_step(struct sql *sql, sqlite3_stmt *statement);
/* The same for a statement without parameters. */
int sql_do(struct sql *sql, enum statement which);

/*
 * What the connection's last failure is as a negative errno: the disk's own where SQLite
 * knows it, -ENOSPC, -ENOMEM, -EBADMSG for a database that is damaged or not ours, -EIO.
 */
int sql_error(const struct sql *sql);

static inline void cleanup_statement_fn(sqlite3_stmt *const *statement)
{
	if (*statement)
		(void)sqlite3_reset(*statement);
}
#define cleanup_statement CLEANUP(cleanup_statement_fn)
