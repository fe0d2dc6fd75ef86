/*
 * index.db from its first row on: its connections, what is remembered of it, and the
 * numbers that never come again.
 *
 * A number names content in files/, so one that was used, was lost with the end of the
 * WAL in a power cut, and were given out again would meet the old content. So numbers are
 * reserved in blocks by a commit that is on disk before the first of them is used, and
 * after a power cut counting goes on behind the block.
 */
#include "cache/base/file.h"
#include "fusefs/upper/rows_private.h"
#include "fusefs/upper/upper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BOOT_ID_SIZE = 64 };

struct meta {
	bool clean;
	char boot[BOOT_ID_SIZE];
};

static int this_boot(char ret_id[BOOT_ID_SIZE])
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id",
			     BOOT_ID_SIZE - 1, &text);
	if (r < 0)
		return r;
	memcpy(ret_id, text.data, text.size);
	ret_id[text.size] = '\0';
	ret_id[strcspn(ret_id, "\n")] = '\0';
	return 0;
}

static int read_meta(struct upper *u, struct meta *ret)
{
	cleanup_statement sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_META_READ);
	if (!s)
		return sql_error(&u->writer.sql);
	int r = sql_step(&u->writer.sql, s);
	if (r != 1)
		return r < 0 ? r : -EBADMSG;
	bool ok = sqlite3_column_type(s, 3) == SQLITE_TEXT;
	u->next = (uint64_t)row_number(s, 0, &ok);
	u->mark = (uint64_t)row_number(s, 1, &ok);
	ret->clean = row_number(s, 2, &ok) != 0;
	const char *boot = (const char *)sqlite3_column_text(s, 3);
	if (!ok || !boot || strlen(boot) >= BOOT_ID_SIZE)
		return -EBADMSG;
	(void)strcpy(ret->boot, boot);
	u->change = (uint64_t)row_number(s, 4, &ok);
	u->record = (struct upper_record){ (uint64_t)row_number(s, 5, &ok),
					   (int)row_number(s, 6, &ok),
					   (uint64_t)row_number(s, 7, &ok) };
	return ok && u->next > 0 && u->next < NODE_UPPER && u->mark < NODE_UPPER
		   ? 0
		   : -EBADMSG;
}

static int write_mark(struct upper *u, bool clean)
{
	char boot[BOOT_ID_SIZE] = "";
	(void)this_boot(boot);
	sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_META_MARK);
	if (!s)
		return sql_error(&u->writer.sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)u->next);
	(void)sqlite3_bind_int64(s, 2, (int64_t)u->mark);
	(void)sqlite3_bind_int(s, 3, clean);
	(void)sqlite3_bind_text(s, 4, boot, -1, SQLITE_STATIC);
	int r = sql_run(&u->writer.sql, s);
	return r < 0 ? r : upper_sync(u);
}

int upper_arm(struct upper *u)
{
	uint64_t before = u->mark;
	u->mark = u->next + NUMBERS_RESERVED;
	int r = u->mark < NODE_UPPER ? write_mark(u, false) : -ENOSPC;
	if (r < 0)
		u->mark = before;
	if (r == 0)
		u->armed = true;
	return r;
}

int upper_take_numbers(struct upper *u, uint64_t count, uint64_t *ret_first)
{
	(void)pthread_mutex_lock(&u->lock);
	uint64_t first = u->next;
	uint64_t mark = u->mark;
	u->next += count;
	if (u->next + NUMBERS_OF_ONE_CHANGE >= u->mark)
		u->mark = u->next + NUMBERS_RESERVED;
	int r =
	    count < NODE_UPPER && u->mark < NODE_UPPER ? write_mark(u, false) : -ENOSPC;
	if (r == 0) {
		u->armed = true;
		*ret_first = first;
	} else {
		u->next = first;
		u->mark = mark;
	}
	(void)pthread_mutex_unlock(&u->lock);
	return r;
}

static int add_ids(struct upper *u, enum statement which)
{
	cleanup_statement sqlite3_stmt *s = sql_use(&u->writer.sql, which);
	int r = s ? 0 : sql_error(&u->writer.sql);
	if (s && which == SQL_NODE_LOWER)
		(void)sqlite3_bind_int64(s, 1, (int64_t)NODE_UPPER);
	while (r == 0 && (r = sql_step(&u->writer.sql, s)) == 1) {
		uint64_t id = (uint64_t)sqlite3_column_int64(s, 0);
		if (!(id & NODE_UPPER))
			filter_add(&u->filter, id);
		r = 0;
	}
	return r;
}

static int count_frames(void *context, sqlite3 *db, const char *name, int pages)
{
	struct upper *u = context;
	(void)db;
	(void)name;
	atomic_store(&u->wal_size, (uint64_t)pages * (uint64_t)u->page_size);
	return SQLITE_OK;
}

/* Content that no row knows: its row was lost with the end of the WAL. */
static int remove_unknown(void *context, uint64_t node)
{
	struct upper *u = context;
	struct upper_node row;
	int r = upper_find_node(&u->writer, node, &row);
	if (r == -ENOENT ||
	    (r == 0 && !(node & NODE_UPPER) && !(row.flags & NODE_CONTENT)))
		return content_remove(u, node);
	return r;
}

int upper_sweep(struct upper *u)
{
	return content_each(u, remove_unknown, u);
}

static int clear_staging(struct upper *u)
{
	cleanup_dir DIR *dir = file_list_dir(u->content.stage);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			(void)unlinkat(u->content.stage, entry->d_name, 0);
	}
	return dir ? 0 : -errno;
}

/*
 * What was made in the mount and never synced can be lost in a power cut though its row
 * is not: it is empty then, as on any disk.
 */
static int make_lost(void *context, const struct upper_node *row)
{
	struct upper *u = context;
	cleanup_content struct content_ref ref = CONTENT_NONE;
	const struct timespec times[] = { row->atime, row->mtime };
	bool made = false;
	if ((row->id & NODE_UPPER) && (row->flags & NODE_CONTENT) && S_ISREG(row->mode) &&
	    content_make(u, row->id, &ref, &made) == 0 && made)
		(void)futimens(ref.fd, times);
	return 0;
}

/* Numbers beyond what the disk may have seen, and no content of nodes it has lost. */
static int recover(struct upper *u, const struct meta *meta)
{
	char boot[BOOT_ID_SIZE] = "";
	int r = clear_staging(u);
	if (r < 0 || meta->clean)
		return r;
	(void)this_boot(boot);
	if (*boot && strcmp(boot, meta->boot) == 0)
		return 0;
	if (u->mark > u->next)
		u->next = u->mark;
	r = upper_sweep(u);
	return r == 0 ? upper_each_node(&u->writer, make_lost, u) : r;
}

static int load(struct upper *u)
{
	struct meta meta;
	int r = read_meta(u, &meta);
	if (r == 0)
		r = add_ids(u, SQL_NODE_LOWER);
	if (r == 0)
		r = add_ids(u, SQL_PARENTS);
	if (r == 0)
		r = recover(u, &meta);
	if (r == 0)
		r = upper_base_recover(u);
	/* Numbers of requests start again with each mount. */
	if (!u->again)
		u->record = (struct upper_record){ .unique = 0 };
	return r;
}

static int open_connections(struct upper *u, bool create)
{
	int r = sql_open(u->index_path, create ? SQL_CREATE : SQL_CHECK, u->sync,
			 &u->writer.sql);
	for (int i = 0; r == 0 && i < READERS; i++)
		r = sql_open(u->index_path, SQL_AGAIN, u->sync, &u->readers[i].sql);
	if (r == 0)
		r = sql_open(u->index_path, SQL_AGAIN, u->sync, &u->aside);
	u->page_size = r < 0 ? r : sql_page_size(&u->writer.sql);
	if (u->page_size < 0)
		return u->page_size;
	(void)sqlite3_wal_hook(u->writer.sql.db, count_frames, u);
	u->wal_fd = file_open_beneath(u->fd, "index.db-wal", O_RDWR, 0);
	if (u->wal_fd < 0)
		return u->wal_fd;
	/* SQLite made it, with permission bits alone. */
	(void)fchmod(u->wal_fd, FILE_LASTING);
	u->reserve_fd =
	    file_open_beneath(u->fd, "reserve", O_RDWR | O_CREAT, FILE_LASTING);
	return u->reserve_fd < 0 && u->reserve_fd != -ENOSPC ? u->reserve_fd : 0;
}

static int remove_content(struct upper *u)
{
	int r = file_remove_tree_at(u->fd, "files");
	return r < 0 ? r : file_remove_tree_at(u->fd, "staging");
}

void upper_drop_index(struct upper *u)
{
	static const char *const names[] = { "index.db", "index.db-wal",
					     "index.db-journal" };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		(void)unlinkat(u->fd, names[i], 0);
}

int upper_open_index(struct upper *u, bool create)
{
	/* A descriptor of our own, opened before SQLite has one and closed after: closing
	 * it in between would drop SQLite's locks. */
	u->db_fd = file_open_beneath(u->fd, "index.db", O_RDWR | (create ? O_CREAT : 0),
				     FILE_LASTING);
	int r = u->db_fd < 0 ? u->db_fd : 0;
	/* Numbers begin anew: what an earlier index left must not come back under them.
	 */
	if (r == 0 && create)
		r = remove_content(u);
	if (r == 0)
		r = content_attach(&u->content, u->fd, true);
	if (r == 0)
		r = open_connections(u, create);
	if (r == 0)
		r = load(u);
	if (r == 0 && create && u->sync)
		r = file_sync_dir(u->fd);
	if (r == 0)
		r = janitor_start(u);
	if (r < 0) {
		upper_close_index(u);
		if (create)
			upper_drop_index(u);
		return r;
	}
	u->content.from = NODE_UPPER | u->next;
	recent_start(&u->recent, NODE_UPPER | u->next, create);
	u->writer.recent = &u->recent;
	reserve_refill(u);
	atomic_store_explicit(&u->exists, true, memory_order_release);
	return 0;
}

void upper_close_index(struct upper *u)
{
	if (u->armed && u->writer.sql.db) {
		(void)notes_flush(u);
		u->orphans.count = 0;
		(void)upper_reap_left(u, NULL, NULL);
		(void)upper_reap_now(u);
		u->mark = u->next;
		(void)write_mark(u, true);
	}
	/* Closing writes the WAL back. */
	reserve_release(u);
	cleanup_close_fn(&u->reserve_fd);
	u->reserve_fd = -1;
	u->armed = false;
	for (int i = 0; i < READERS; i++)
		sql_close(&u->readers[i].sql);
	sql_close(&u->aside);
	sql_close(&u->writer.sql);
	cleanup_close_fn(&u->wal_fd);
	cleanup_close_fn(&u->db_fd);
	u->wal_fd = u->db_fd = -1;
}
