#include "fusefs/upper/rows_private.h"

#include "fusefs/upper/upper_private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { LONGEST_NAME = 255, DENTRY_PIN = 1, NODE_FLAGS_KNOWN = 7, NS = 1000000000 };

/*
 * What SQLite compares as a text or a fraction and we would read as a number has two
 * orders: a listing would come to the same name again and again.
 */
int64_t row_number(sqlite3_stmt *s, int at, bool *ok)
{
	*ok &= sqlite3_column_type(s, at) == SQLITE_INTEGER;
	return sqlite3_column_int64(s, at);
}

static struct timespec column_time(sqlite3_stmt *s, int at, bool *ok)
{
	int64_t ns = row_number(s, at + 1, ok);
	*ok &= ns >= 0 && ns < NS;
	return (struct timespec){ .tv_sec = row_number(s, at, ok), .tv_nsec = ns };
}

static bool type_is_known(mode_t mode)
{
	return (mode & ~(mode_t)(S_IFMT | 07777)) == 0 &&
	       (S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISFIFO(mode) ||
		S_ISSOCK(mode) || S_ISCHR(mode) || S_ISBLK(mode));
}

int row_node(sqlite3_stmt *s, int first, struct upper_node *ret)
{
	*ret = (struct upper_node){ .id = (uint64_t)sqlite3_column_int64(s, first) };
	if (sqlite3_column_type(s, first) == SQLITE_NULL)
		return 0;
	bool ok = true;
	int64_t flags = row_number(s, first + 1, &ok);
	int64_t nlink = row_number(s, first + 5, &ok);
	int64_t size = row_number(s, first + 7, &ok);
	int64_t mode = row_number(s, first + 2, &ok);
	ok &= ret->id > 0 && ret->id < 2 * NODE_UPPER && nlink >= 0 &&
	      nlink <= INT32_MAX && size >= 0 && (flags & ~NODE_FLAGS_KNOWN) == 0 &&
	      mode >= 0 && mode <= UINT16_MAX;
	ret->flags = (uint32_t)flags;
	ret->mode = (mode_t)mode;
	ret->uid = (uid_t)row_number(s, first + 3, &ok);
	ret->gid = (gid_t)row_number(s, first + 4, &ok);
	ret->nlink = (uint32_t)nlink;
	ret->rdev = (dev_t)row_number(s, first + 6, &ok);
	ret->size = (uint64_t)size;
	ret->atime = column_time(s, first + 8, &ok);
	ret->mtime = column_time(s, first + 10, &ok);
	ret->ctime = column_time(s, first + 12, &ok);
	ret->parent = (uint64_t)row_number(s, first + 14, &ok);
	ret->change = (uint64_t)row_number(s, first + 15, &ok);
	return ok && type_is_known(ret->mode) ? 0 : -EBADMSG;
}

static bool name_is_sane(const struct upper_dentry *d)
{
	return d->name && d->name_size > 0 && d->name_size <= LONGEST_NAME &&
	       !memchr(d->name, '/', d->name_size) && !memchr(d->name, 0, d->name_size) &&
	       !(d->name_size <= 2 && memcmp(d->name, "..", d->name_size) == 0);
}

static bool is_null(sqlite3_stmt *s, int at)
{
	return sqlite3_column_type(s, at) == SQLITE_NULL;
}

int row_dentry(sqlite3_stmt *s, struct upper_dentry *ret)
{
	bool ok = sqlite3_column_type(s, 1) == SQLITE_BLOB;
	int64_t flags = row_number(s, 4, &ok);
	const void *base = sqlite3_column_blob(s, 5);
	*ret = (struct upper_dentry){
		.parent = (uint64_t)row_number(s, 0, &ok),
		.name = sqlite3_column_blob(s, 1),
		.name_size = (size_t)sqlite3_column_bytes(s, 1),
		.node = is_null(s, 2) ? 0 : (uint64_t)row_number(s, 2, &ok),
		.cookie = (uint64_t)row_number(s, 3, &ok),
		.pin = (flags & DENTRY_PIN) != 0,
		.has_base = !is_null(s, 5),
		.change = (uint64_t)row_number(s, 6, &ok),
	};
	if (ret->has_base) {
		ok &= base && sqlite3_column_bytes(s, 5) == (int)sizeof(ret->base.bytes);
		if (ok)
			memcpy(ret->base.bytes, base, sizeof(ret->base.bytes));
	}
	ok &= (flags & ~DENTRY_PIN) == 0 && name_is_sane(ret) &&
	      ret->node < 2 * NODE_UPPER && ret->cookie > 0 && ret->cookie <= INT64_MAX;
	return ok ? 0 : -EBADMSG;
}

/* A dentry and the node it leads to, which must have a row. */
static int row_both(sqlite3_stmt *s, struct upper_dentry *ret,
		    struct upper_node *ret_node)
{
	int r = row_dentry(s, ret);
	if (r == 0)
		r = row_node(s, DENTRY_COLUMNS_COUNT, ret_node);
	return r == 0 && ret->node != 0 && ret_node->id == 0 ? -EBADMSG : r;
}

static void keep_node(struct upper_reader *r, const struct upper_node *node)
{
	if (r->recent)
		recent_keep(r->recent, node);
}

/* A change that has not started has a reader of no rows. */
static bool has_none(const struct upper_reader *r)
{
	return !r || !r->sql.db;
}

int upper_find_dentry(struct upper_reader *r, uint64_t parent, const char *name,
		      size_t name_size, struct upper_dentry *ret,
		      struct upper_node *ret_node)
{
	if (has_none(r) ||
	    (r->recent && !recent_may_have_name(r->recent, parent, name, name_size)))
		return -ENOENT;
	cleanup_statement sqlite3_stmt *s = sql_use(&r->sql, SQL_DENTRY_FIND);
	if (!s)
		return sql_error(&r->sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)parent);
	(void)sqlite3_bind_blob(s, 2, name, (int)name_size, SQLITE_STATIC);
	int code = sql_step(&r->sql, s);
	if (code != 1)
		return code < 0 ? code : -ENOENT;
	code = row_both(s, ret, ret_node);
	if (code == 0 && ret->node != 0)
		keep_node(r, ret_node);
	ret->name = name; /* which lives longer than the statement */
	return code;
}

int upper_find_node(struct upper_reader *r, uint64_t id, struct upper_node *ret)
{
	const struct upper_node *kept =
	    r && r->recent ? recent_find(r->recent, id) : NULL;
	if (kept)
		*ret = *kept;
	if (has_none(r) || kept)
		return kept ? 0 : -ENOENT;
	cleanup_statement sqlite3_stmt *s = sql_use(&r->sql, SQL_NODE_FIND);
	if (!s)
		return sql_error(&r->sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)id);
	int code = sql_step(&r->sql, s);
	if (code != 1)
		return code < 0 ? code : -ENOENT;
	code = row_node(s, 0, ret);
	if (code == 0)
		keep_node(r, ret);
	return code;
}

/* Appends the blob that is the only column of the only row. */
static int append_blob(struct sql *sql, sqlite3_stmt *s, struct buffer *out)
{
	int code = sql_step(sql, s);
	if (code != 1)
		return code;
	const void *bytes = sqlite3_column_blob(s, 0);
	int size = sqlite3_column_bytes(s, 0);
	code = bytes ? buffer_append(out, bytes, (size_t)size) : 0;
	return code < 0 ? code : 1;
}

int upper_read_target(struct upper_reader *r, uint64_t id, struct buffer *out)
{
	if (!r)
		return -ENOENT;
	cleanup_statement sqlite3_stmt *s = sql_use(&r->sql, SQL_NODE_TARGET);
	if (!s)
		return sql_error(&r->sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)id);
	int code = append_blob(&r->sql, s, out);
	return code == 1 ? 0 : (code < 0 ? code : -ENOENT);
}

int upper_list_start(struct upper_reader *r, uint64_t parent, uint64_t after)
{
	if (!r)
		return 0;
	sqlite3_stmt *s = sql_use(&r->sql, SQL_DENTRY_LIST);
	if (!s)
		return sql_error(&r->sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)parent);
	(void)sqlite3_bind_int64(s, 2, (int64_t)after);
	r->listing = true;
	return 0;
}

int upper_list_next(struct upper_reader *r, struct upper_dentry *ret,
		    struct upper_node *ret_node)
{
	if (!r || !r->listing)
		return 0;
	sqlite3_stmt *s = r->sql.statements[SQL_DENTRY_LIST];
	int code = sql_step(&r->sql, s);
	r->listing = code == 1;
	if (code == 1)
		code = row_both(s, ret, ret_node);
	return code < 0 ? code : r->listing;
}

void upper_list_end(struct upper_reader *r)
{
	if (r && r->sql.statements[SQL_DENTRY_LIST])
		(void)sqlite3_reset(r->sql.statements[SQL_DENTRY_LIST]);
	if (r)
		r->listing = false;
}

int upper_list(struct upper_reader *r, uint64_t parent, uint64_t after,
	       upper_visit *visit, void *context)
{
	struct upper_dentry d;
	struct upper_node n;
	int code = upper_list_start(r, parent, after);
	while (code == 0 && (code = upper_list_next(r, &d, &n)) == 1)
		code = visit(context, &d, &n);
	upper_list_end(r);
	return code;
}

static int each_behind(struct upper_reader *r, int64_t parent, const char *name,
		       size_t name_size, upper_visit *visit, void *context)
{
	if (!r)
		return 0;
	cleanup_statement sqlite3_stmt *s = sql_use(&r->sql, SQL_DENTRY_BEHIND);
	int code = s ? 0 : sql_error(&r->sql);
	if (s) {
		(void)sqlite3_bind_int64(s, 1, parent);
		(void)sqlite3_bind_blob(s, 2, name, (int)name_size, SQLITE_STATIC);
	}
	while (code == 0 && (code = sql_step(&r->sql, s)) == 1) {
		struct upper_dentry d;
		struct upper_node n;
		code = row_both(s, &d, &n);
		if (code == 0)
			code = visit(context, &d, &n);
	}
	return code;
}

int upper_each_behind(struct upper_reader *r, uint64_t parent, const char *name,
		      size_t name_size, upper_visit *visit, void *context)
{
	return each_behind(r, (int64_t)parent, name, name_size, visit, context);
}

/* Those that nobody may have written, too: they are damage. */
int upper_each(struct upper_reader *r, upper_visit *visit, void *context)
{
	return each_behind(r, INT64_MIN, "", 0, visit, context);
}

int upper_each_node(struct upper_reader *r, upper_visit_node *visit, void *context)
{
	if (!r)
		return 0;
	cleanup_statement sqlite3_stmt *s = sql_use(&r->sql, SQL_NODE_ALL);
	int code = s ? 0 : sql_error(&r->sql);
	while (code == 0 && (code = sql_step(&r->sql, s)) == 1) {
		struct upper_node n;
		code = row_node(s, 0, &n);
		if (code == 0)
			code = visit(context, &n);
	}
	return code;
}

int upper_find_xattr(struct upper_reader *r, uint64_t node, const char *name,
		     struct buffer *out)
{
	if (has_none(r))
		return -ENODATA;
	cleanup_statement sqlite3_stmt *s = sql_use(&r->sql, SQL_XATTR_FIND);
	if (!s)
		return sql_error(&r->sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)node);
	(void)sqlite3_bind_blob(s, 2, name, (int)strlen(name), SQLITE_STATIC);
	int code = append_blob(&r->sql, s, out);
	return code == 1 ? 0 : (code < 0 ? code : -ENODATA);
}

int upper_list_xattrs(struct upper_reader *r, uint64_t node, struct buffer *out)
{
	if (!r)
		return 0;
	cleanup_statement sqlite3_stmt *s = sql_use(&r->sql, SQL_XATTR_LIST);
	if (!s)
		return sql_error(&r->sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)node);
	int code;
	while ((code = append_blob(&r->sql, s, out)) == 1) {
		code = buffer_append(out, "", 1);
		if (code < 0)
			return code;
	}
	return code;
}

static void bind_time(sqlite3_stmt *s, int at, const struct timespec *t)
{
	(void)sqlite3_bind_int64(s, at, t->tv_sec);
	(void)sqlite3_bind_int64(s, at + 1, t->tv_nsec);
}

static void bind_node(sqlite3_stmt *s, const struct upper_node *n, uint64_t change)
{
	(void)sqlite3_bind_int64(s, 1, (int64_t)n->id);
	(void)sqlite3_bind_int64(s, 2, n->flags);
	(void)sqlite3_bind_int64(s, 3, n->mode);
	(void)sqlite3_bind_int64(s, 4, n->uid);
	(void)sqlite3_bind_int64(s, 5, n->gid);
	(void)sqlite3_bind_int64(s, 6, n->nlink);
	(void)sqlite3_bind_int64(s, 7, (int64_t)n->rdev);
	(void)sqlite3_bind_int64(s, 8, (int64_t)n->size);
	bind_time(s, 9, &n->atime);
	bind_time(s, 11, &n->mtime);
	bind_time(s, 13, &n->ctime);
	(void)sqlite3_bind_int64(s, 15, (int64_t)n->parent);
	(void)sqlite3_bind_int64(s, 16, (int64_t)change);
}

static int run_statement(struct upper *u, sqlite3_stmt *s)
{
	return s ? sql_run(&u->writer.sql, s) : sql_error(&u->writer.sql);
}

/* A row as it stands now; what became of one that could not be written is not known. */
static int written(struct upper *u, const struct upper_node *node, int r)
{
	struct upper_node row = *node;
	row.change = u->change;
	if (r == 0 && sqlite3_changes(u->writer.sql.db) == 1)
		recent_keep(&u->recent, &row);
	else
		recent_drop(&u->recent, node->id);
	return r;
}

int upper_insert_node(struct upper *u, const struct upper_node *node, const char *target)
{
	int r = upper_begin_rows(u);
	if (r < 0)
		return r;
	sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_NODE_INSERT);
	if (!s)
		return sql_error(&u->writer.sql);
	bind_node(s, node, ++u->change);
	if (target)
		(void)sqlite3_bind_blob(s, 17, target, (int)strlen(target),
					SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(s, 17);
	if (!(node->id & NODE_UPPER))
		filter_add(&u->filter, node->id);
	return written(u, node, run_statement(u, s));
}

int upper_update_node(struct upper *u, const struct upper_node *node)
{
	struct upper_node row = *node;
	sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_NODE_UPDATE);
	/* Else this change would write it once more. */
	if (notes_have(u, row.id))
		row.flags |= NODE_CONTENT;
	if (s)
		bind_node(s, &row, ++u->change);
	return written(u, &row, run_statement(u, s));
}

int upper_delete_node(struct upper *u, uint64_t id)
{
	static const enum statement all[] = { SQL_XATTR_CLEAR, SQL_DENTRY_CLEAR,
					      SQL_NODE_DELETE };
	int r = 0;
	const struct upper_node *kept = recent_find(&u->recent, id);
	const bool may_have_names = !kept || S_ISDIR(kept->mode);
	recent_drop(&u->recent, id);
	for (size_t i = 0; r == 0 && i < sizeof(all) / sizeof(*all); i++) {
		if (all[i] == SQL_DENTRY_CLEAR && !may_have_names)
			continue;
		sqlite3_stmt *s = sql_use(&u->writer.sql, all[i]);
		if (s)
			(void)sqlite3_bind_int64(s, 1, (int64_t)id);
		r = run_statement(u, s);
	}
	return r;
}

int upper_put_dentry(struct upper *u, const struct upper_dentry *d)
{
	int r = upper_begin_rows(u);
	if (r < 0)
		return r;
	sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_DENTRY_PUT);
	if (!s)
		return sql_error(&u->writer.sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)d->parent);
	(void)sqlite3_bind_blob(s, 2, d->name, (int)d->name_size, SQLITE_STATIC);
	if (d->node)
		(void)sqlite3_bind_int64(s, 3, (int64_t)d->node);
	else
		(void)sqlite3_bind_null(s, 3);
	(void)sqlite3_bind_int64(s, 4, (int64_t)d->cookie);
	(void)sqlite3_bind_int64(s, 5, d->pin ? DENTRY_PIN : 0);
	if (d->has_base)
		(void)sqlite3_bind_blob(s, 6, d->base.bytes, sizeof(d->base.bytes),
					SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(s, 6);
	(void)sqlite3_bind_int64(s, 7, (int64_t)++u->change);
	if (!(d->parent & NODE_UPPER))
		filter_add(&u->filter, d->parent);
	recent_add_name(&u->recent, d->parent, d->name, d->name_size);
	return run_statement(u, s);
}

int upper_delete_dentry(struct upper *u, uint64_t parent, const char *name,
			size_t name_size)
{
	sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_DENTRY_DELETE);
	if (s) {
		(void)sqlite3_bind_int64(s, 1, (int64_t)parent);
		(void)sqlite3_bind_blob(s, 2, name, (int)name_size, SQLITE_STATIC);
	}
	return run_statement(u, s);
}

int upper_put_xattr(struct upper *u, uint64_t node, const char *name, const void *value,
		    size_t size)
{
	int r = upper_begin_rows(u);
	if (r < 0)
		return r;
	sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_XATTR_PUT);
	if (s) {
		(void)sqlite3_bind_int64(s, 1, (int64_t)node);
		(void)sqlite3_bind_blob(s, 2, name, (int)strlen(name), SQLITE_STATIC);
		(void)sqlite3_bind_blob(s, 3, size ? value : "", (int)size,
					SQLITE_STATIC);
	}
	return run_statement(u, s);
}

int upper_delete_xattr(struct upper *u, uint64_t node, const char *name)
{
	sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_XATTR_DELETE);
	if (s) {
		(void)sqlite3_bind_int64(s, 1, (int64_t)node);
		(void)sqlite3_bind_blob(s, 2, name, (int)strlen(name), SQLITE_STATIC);
	}
	int r = run_statement(u, s);
	return r == 0 && sqlite3_changes(u->writer.sql.db) == 0 ? -ENODATA : r;
}
