#include "fusefs/upper/sql.h"

#include "fusefs/upper/wal_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SCHEMA_VERSION = 1, APPLICATION_ID = 0x76667570 /* "vfup" */, BUSY_MS = 30000 };

/* FORMAT.md tells what each column holds. */
static const char *const schema[] = {
	("CREATE TABLE meta(id INTEGER PRIMARY KEY, next INTEGER NOT NULL, mark INTEGER NOT "
	 "NULL, clean INTEGER NOT NULL, boot TEXT NOT NULL, change INTEGER NOT NULL, "
	 "request INTEGER NOT NULL, result INTEGER NOT NULL, node INTEGER NOT NULL)"),
	("CREATE TABLE node(id INTEGER PRIMARY KEY, flags INTEGER NOT NULL, mode INTEGER NOT "
	 "NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, nlink INTEGER NOT NULL, rdev "
	 "INTEGER NOT NULL, size INTEGER NOT NULL, atime INTEGER NOT NULL, atime_ns INTEGER "
	 "NOT NULL, mtime INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime INTEGER NOT "
	 "NULL, ctime_ns INTEGER NOT NULL, parent INTEGER NOT NULL, change INTEGER NOT NULL, "
	 "target BLOB)"),
	("CREATE INDEX orphan ON node(id) WHERE nlink = 0"),
	("CREATE TABLE dentry(parent INTEGER NOT NULL, name BLOB NOT NULL, node INTEGER, "
	 "cookie INTEGER NOT NULL, flags INTEGER NOT NULL, base BLOB, change INTEGER NOT "
	 "NULL, PRIMARY KEY(parent, name)) WITHOUT ROWID"),
	("CREATE UNIQUE INDEX listing ON dentry(parent, cookie)"),
	("CREATE TABLE xattr(node INTEGER NOT NULL, name BLOB NOT NULL, value BLOB NOT NULL, "
	 "PRIMARY KEY(node, name)) WITHOUT ROWID"),
};
enum { SCHEMA_STATEMENTS = sizeof(schema) / sizeof(*schema) };

#define NODE_COLUMNS                                                              \
	"n.id, n.flags, n.mode, n.uid, n.gid, n.nlink, n.rdev, n.size, n.atime, " \
	"n.atime_ns, n.mtime, n.mtime_ns, n.ctime, n.ctime_ns, n.parent, n.change"
#define DENTRY_COLUMNS "d.parent, d.name, d.node, d.cookie, d.flags, d.base, d.change"

static const char *const texts[STATEMENTS] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_META_READ] = "SELECT next, mark, clean, boot, change, request, result, node "
			  "FROM meta WHERE id = 1",
	[SQL_META_WRITE] = "UPDATE meta SET next = ?1, change = ?2, request = ?3, "
			   "result = ?4, node = ?5 WHERE id = 1",
	[SQL_META_MARK] = "UPDATE meta SET next = ?1, mark = ?2, clean = ?3, boot = ?4 "
			  "WHERE id = 1",
	[SQL_DENTRY_FIND] = "SELECT " DENTRY_COLUMNS ", " NODE_COLUMNS
			    " FROM dentry d LEFT JOIN node n ON n.id = d.node "
			    "WHERE d.parent = ?1 AND d.name = ?2",
	[SQL_DENTRY_PUT] =
	    "INSERT INTO dentry VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) "
	    "ON CONFLICT(parent, name) DO UPDATE SET node = ?3, flags = ?5, "
	    "base = ?6, change = ?7",
	[SQL_DENTRY_DELETE] = "DELETE FROM dentry WHERE parent = ?1 AND name = ?2",
	[SQL_DENTRY_LIST] = "SELECT " DENTRY_COLUMNS ", " NODE_COLUMNS
			    " FROM dentry d LEFT JOIN node n ON n.id = d.node "
			    "WHERE d.parent = ?1 AND d.cookie > ?2 ORDER BY d.cookie",
	[SQL_DENTRY_BEHIND] = "SELECT " DENTRY_COLUMNS ", " NODE_COLUMNS
			      " FROM dentry d LEFT JOIN node n ON n.id = d.node "
			      "WHERE (d.parent, d.name) > (?1, ?2) "
			      "ORDER BY d.parent, d.name",
	[SQL_DENTRY_CLEAR] = "DELETE FROM dentry WHERE parent = ?1",
	[SQL_PARENTS] = "SELECT DISTINCT parent FROM dentry",
	[SQL_NODE_FIND] = "SELECT " NODE_COLUMNS " FROM node n WHERE id = ?1",
	[SQL_NODE_ALL] = "SELECT " NODE_COLUMNS " FROM node n",
	[SQL_NODE_INSERT] = "INSERT INTO node VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
			    "?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
	[SQL_NODE_UPDATE] =
	    "UPDATE node SET flags = ?2, mode = ?3, uid = ?4, gid = ?5, nlink = ?6, "
	    "rdev = ?7, size = ?8, atime = ?9, atime_ns = ?10, mtime = ?11, mtime_ns = ?12, "
	    "ctime = ?13, ctime_ns = ?14, parent = ?15, change = ?16 WHERE id = ?1",
	[SQL_NODE_DELETE] = "DELETE FROM node WHERE id = ?1",
	[SQL_NODE_LOWER] = "SELECT id FROM node WHERE id < ?1",
	[SQL_NODE_ORPHANS] = "SELECT id FROM node WHERE nlink = 0",
	[SQL_NODE_TARGET] = "SELECT target FROM node WHERE id = ?1",
	[SQL_XATTR_FIND] = "SELECT value FROM xattr WHERE node = ?1 AND name = ?2",
	[SQL_XATTR_PUT] = "INSERT INTO xattr VALUES(?1, ?2, ?3) "
			  "ON CONFLICT(node, name) DO UPDATE SET value = ?3",
	[SQL_XATTR_DELETE] = "DELETE FROM xattr WHERE node = ?1 AND name = ?2",
	[SQL_XATTR_LIST] = "SELECT name FROM xattr WHERE node = ?1",
	[SQL_XATTR_CLEAR] = "DELETE FROM xattr WHERE node = ?1",
};

int sql_error(const struct sql *sql)
{
	int system = sqlite3_system_errno(sql->db);
	switch (sqlite3_errcode(sql->db)) {
	case SQLITE_FULL:
		return wal_vfs_over_quota() ? -EDQUOT : -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR:
		return -EBADMSG;
	case SQLITE_BUSY:
		return -EBUSY;
	default:
		return system > 0 ? -system : -EIO;
	}
}

static int run_text(struct sql *sql, const char *text)
{
	return sqlite3_exec(sql->db, text, NULL, NULL, NULL) == SQLITE_OK
		   ? 0
		   : sql_error(sql);
}

static int read_number(struct sql *sql, const char *text, int64_t *ret)
{
	sqlite3_stmt *s = NULL;
	int r = sqlite3_prepare_v2(sql->db, text, -1, &s, NULL) == SQLITE_OK
		    ? sql_step(sql, s)
		    : sql_error(sql);
	if (r == 1)
		*ret = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	return r == 1 ? 0 : (r == 0 ? -EBADMSG : r);
}

/*
 * An index.db is input: one with a trigger, a view or a column of its own would run what
 * its maker wrote. So its schema must be ours to the letter.
 */
static int check_schema(struct sql *sql)
{
	sqlite3_stmt *s = NULL;
	static const char query[] = "SELECT sql FROM sqlite_schema ORDER BY rowid";
	int found = 0;
	int r = sqlite3_prepare_v2(sql->db, query, -1, &s, NULL) == SQLITE_OK
		    ? 1
		    : sql_error(sql);
	while (r == 1 && (r = sql_step(sql, s)) == 1) {
		const char *text = (const char *)sqlite3_column_text(s, 0);
		if (found == SCHEMA_STATEMENTS || !text ||
		    strcmp(text, schema[found]) != 0)
			r = -EBADMSG;
		found++;
	}
	(void)sqlite3_finalize(s);
	return r < 0 ? r : (found == SCHEMA_STATEMENTS ? 0 : -EBADMSG);
}

static int check_version(struct sql *sql)
{
	int64_t version = 0;
	int64_t id = 0;
	int64_t tables = 1;
	int r = read_number(sql, "PRAGMA application_id", &id);
	if (r == 0)
		r = read_number(sql, "PRAGMA user_version", &version);
	/* Made, and killed or powered off before the commit of its schema. */
	if (r == 0 && id == 0)
		r = read_number(sql, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r == 0 && id != APPLICATION_ID)
		return id == 0 && version == 0 && tables == 0 ? -ENODATA : -EBADMSG;
	return r < 0 ? r : (version == SCHEMA_VERSION ? check_schema(sql) : -EPROTO);
}

/* Nothing of a new database counts before its version stands there. */
static int make_schema(struct sql *sql)
{
	char text[96];
	int r = run_text(sql, "BEGIN IMMEDIATE");
	for (int i = 0; r == 0 && i < SCHEMA_STATEMENTS; i++)
		r = run_text(sql, schema[i]);
	if (r == 0)
		r = run_text(sql, "INSERT INTO meta VALUES(1, 1, 1, 1, '', 0, 0, 0, 0)");
	(void)snprintf(text, sizeof(text),
		       "PRAGMA application_id = %d; PRAGMA user_version = %d",
		       APPLICATION_ID, SCHEMA_VERSION);
	if (r == 0)
		r = run_text(sql, text);
	return r == 0 ? run_text(sql, "COMMIT") : r;
}

static int configure(struct sql *sql, bool create, bool sync)
{
	int r = create ? run_text(sql, "PRAGMA page_size = 1024") : 0;
	if (r == 0)
		r = run_text(sql,
			     "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; "
			     "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096; "
			     "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
	if (r == 0)
		r = run_text(sql, sync ? "PRAGMA synchronous = NORMAL"
				       : "PRAGMA synchronous = OFF");
	return r;
}

int sql_page_size(struct sql *sql)
{
	int64_t size = 0;
	int r = read_number(sql, "PRAGMA page_size", &size);
	return r < 0 ? r : (int)size;
}

/* Looked at first: configuring writes, and so does closing when there is a WAL. */
static int check_ours(struct sql *sql)
{
	(void)sqlite3_db_config(sql->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	int r = check_version(sql);
	if (r == 0)
		(void)sqlite3_db_config(sql->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0,
					NULL);
	return r;
}

static int set_up(struct sql *sql, enum sql_mode mode, bool sync)
{
	(void)sqlite3_busy_timeout(sql->db, BUSY_MS);
	(void)sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(sql->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	int r = mode == SQL_CHECK ? check_ours(sql) : 0;
	if (r == 0)
		r = configure(sql, mode == SQL_CREATE, sync);
	return r == 0 && mode == SQL_CREATE ? make_schema(sql) : r;
}

int sql_open(const char *path, enum sql_mode mode, bool sync, struct sql *ret)
{
	struct sql sql = { .db = NULL };
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
		    (mode == SQL_CREATE ? SQLITE_OPEN_CREATE : 0);
	const char *vfs = wal_vfs_name();
	if (!vfs)
		return -ENOMEM;
	int r = sqlite3_open_v2(path, &sql.db, flags, vfs) == SQLITE_OK ? 0
		: sql.db                                                ? sql_error(&sql)
									: -ENOMEM;
	if (r == 0)
		r = set_up(&sql, mode, sync);
	if (r < 0) {
		sql_close(&sql);
		return r;
	}
	*ret = sql;
	return 0;
}

void sql_close(struct sql *sql)
{
	for (int i = 0; i < STATEMENTS; i++)
		(void)sqlite3_finalize(sql->statements[i]);
	(void)sqlite3_close(sql->db);
	*sql = (struct sql){ .db = NULL };
}

sqlite3_stmt *sql_use(struct sql *sql, enum statement which)
{
	sqlite3_stmt **s = &sql->statements[which];
	if (!*s)
		(void)sqlite3_prepare_v3(sql->db, texts[which], -1,
					 SQLITE_PREPARE_PERSISTENT, s, NULL);
	return *s;
}

int sql_step(struct sql *sql, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		return 1;
	int r = code == SQLITE_DONE ? 0 : sql_error(sql);
	(void)sqlite3_reset(statement);
	return r;
}

int sql_run(struct sql *sql, sqlite3_stmt *statement)
{
	int r = sql_step(sql, statement);
	if (r == 1)
		(void)sqlite3_reset(statement);
	return r < 0 ? r : 0;
}

int sql_do(struct sql *sql, enum statement which)
{
	sqlite3_stmt *s = sql_use(sql, which);
	return s ? sql_run(sql, s) : sql_error(sql);
}
