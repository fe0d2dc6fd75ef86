#include "fusefs/upper/upper_private.h"

#include "cache/base/file.h"
#include "cache/base/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static int check_own(int fd, const char *path, struct error *reterr)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(reterr, -errno, "cannot look at '%s'", path);
	/* What lies in it is readable for nobody else. */
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return error_set(
		    reterr, -EACCES,
		    "'%s' can be changed by others (owner %u, mode %04o): it "
		    "cannot hold what is changed in a mount",
		    path, st.st_uid, st.st_mode & 07777u);
	return 0;
}

static int open_lock(int dirfd, const char *name, const char *path, struct error *reterr)
{
	int fd =
	    file_open_beneath(dirfd, name, O_RDWR | O_CREAT | O_NONBLOCK, FILE_LASTING);
	return fd < 0 ? error_errno(reterr, fd, "cannot lock '%s'", path) : fd;
}

static bool try_lock(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* NULL: it cannot be read. */
static const char *read_owner(int fd, struct buffer *holder)
{
	return file_read_to_end(fd, 4096, holder) == 0 ? buffer_cstr(holder) : NULL;
}

static int say_busy(int fd, const char *path, struct error *reterr)
{
	cleanup_buffer struct buffer holder = BUFFER_INIT;
	const char *text = read_owner(fd, &holder);
	return error_set(reterr, -EBUSY,
			 "'%s' holds the changes of the mount at '%s' already; two "
			 "mounts cannot share them",
			 path, text ? text : "?");
}

/* Mostly it stands there from the last time. On a full disk the lock does without. */
static int write_owner(int fd, const char *owner, const char *path, struct error *reterr)
{
	cleanup_buffer struct buffer holder = BUFFER_INIT;
	const char *text = read_owner(fd, &holder);
	if (text && strcmp(text, owner) == 0)
		return 0;
	if (ftruncate(fd, 0) == 0 && pwrite(fd, owner, strlen(owner), 0) >= 0)
		return 0;
	return errno == ENOSPC || errno == EDQUOT
		   ? 0
		   : error_errno(reterr, -errno, "cannot write to '%s'", path);
}

/* The lock lasts as long as the process; it holds the name of who has it. */
static int take_lock(struct upper *u, const char *owner, struct error *reterr)
{
	u->lock_fd = open_lock(u->fd, "lock", u->path, reterr);
	if (u->lock_fd < 0)
		return u->lock_fd;
	return try_lock(u->lock_fd) ? write_owner(u->lock_fd, owner, u->path, reterr)
				    : say_busy(u->lock_fd, u->path, reterr);
}

/*
 * Servers lock `lock`, each for its life. Between two of them it is free, so whoever goes
 * by `base` and `layers` has `mounted`, for the life of the mount; it is let go of a
 * moment after the mount is gone.
 */
static int hold(int dirfd, const char *path, const char *owner, struct error *reterr)
{
	enum { TRIES = 100 };
	const struct timespec pause = { .tv_nsec = 10000000 };
	cleanup_fd int fd = open_lock(dirfd, "mounted", path, reterr);
	cleanup_fd int servers = fd < 0 ? fd : open_lock(dirfd, "lock", path, reterr);
	if (servers < 0)
		return servers;
	bool held = try_lock(fd);
	for (int i = 0; !held && i < TRIES; i++) {
		(void)nanosleep(&pause, NULL);
		held = try_lock(fd);
	}
	if (!held)
		return say_busy(fd, path, reterr);
	/* Of a version that knows no `mounted`. */
	if (!try_lock(servers))
		return say_busy(servers, path, reterr);
	int r = write_owner(fd, owner, path, reterr);
	return r < 0 ? r : steal_fd(&fd);
}

int upper_hold(const char *path, const char *owner, struct error *reterr)
{
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return error_errno(reterr, fd, "cannot open '%s'", path);
	int r = check_own(fd, path, reterr);
	return r < 0 ? r : hold(fd, path, owner, reterr);
}

/*
 * systemd-tmpfiles takes a file that is only written through a descriptor for an old one
 * (index.db is, between checkpoints). It spares what lies in a directory that is locked,
 * and locks those that it cleans.
 */
static void keep_cleaners_out(const struct upper *u)
{
	enum { TRIES = 500 };
	const struct timespec pause = { .tv_nsec = 10000000 };
	for (int i = 0;
	     i < TRIES && flock(u->fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	     i++)
		(void)nanosleep(&pause, NULL);
}

static int open_directory(struct upper *u, const char *path, struct error *reterr)
{
	int r = file_make_dirs(path, 0700);
	if (r < 0)
		return error_errno(reterr, r, "cannot make '%s'", path);
	u->fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (u->fd < 0)
		return error_errno(reterr, u->fd, "cannot open '%s'", path);
	keep_cleaners_out(u);
	u->path = realpath(path, NULL);
	u->index_path = u->path ? path_join(u->path, "index.db") : NULL;
	if (!u->index_path)
		return -ENOMEM;
	r = check_own(u->fd, u->path, reterr);
	/* SQLite opens by path: nobody else may lead it elsewhere. */
	const uid_t own = geteuid();
	return r < 0 ? r : trust_check_path(u->path, &own, 1, "--upper", reterr);
}

/* A second is one, whatever the wall clock is set to meanwhile. */
static void init_wake(pthread_cond_t *wake)
{
	pthread_condattr_t attributes;
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);
}

static void init(struct upper *u, bool sync)
{
	u->fd = u->lock_fd = u->db_fd = u->wal_fd = u->reserve_fd = -1;
	u->sync = sync;
	content_init(&u->content);
	(void)pthread_mutex_init(&u->lock, NULL);
	(void)pthread_mutex_init(&u->janitor_lock, NULL);
	(void)pthread_mutex_init(&u->reap_lock, NULL);
	init_wake(&u->janitor_wake);
	for (int i = 0; i < READERS; i++)
		(void)pthread_mutex_init(&u->readers[i].busy, NULL);
}

static int open_existing(struct upper *u, struct error *reterr)
{
	struct stat st;
	if (fstatat(u->fd, "index.db", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return error_set(reterr, -EBADMSG, "'%s' is no index of ours",
				 u->index_path);
	int r = st.st_size == 0 ? -ENODATA : upper_open_index(u, false);
	/* Made, and never committed to: the end came first. */
	if (r == -ENODATA) {
		upper_drop_index(u);
		return 0;
	}
	if (r == -EPROTO)
		return error_set(reterr, r,
				 "'%s' was written by another version of venvfs, which "
				 "this one does not know",
				 u->index_path);
	if (r == -EBADMSG)
		return error_set(reterr, r, "'%s' is damaged or no index of venvfs",
				 u->index_path);
	return r < 0 ? error_errno(reterr, r, "cannot open '%s'", u->index_path) : 0;
}

int upper_open(const struct upper_options *options, struct upper **ret,
	       struct error *reterr)
{
	CLEANUP(upper_closep) struct upper *u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	init(u, options->sync);
	u->again = options->again;
	u->on_first = options->on_first;
	u->context = options->context;
	int r = open_directory(u, options->path, reterr);
	if (r == 0)
		r = take_lock(u, options->owner, reterr);
	if (r == 0)
		r = open_existing(u, reterr);
	if (r < 0)
		return r;
	*ret = steal_ptr(u);
	return 0;
}

void upper_close(struct upper *u)
{
	if (!u)
		return;
	janitor_stop(u);
	upper_close_index(u);
	content_release(&u->content);
	cleanup_close_fn(&u->lock_fd);
	cleanup_close_fn(&u->fd);
	free(u->orphans.ids);
	free(u->notes.ids);
	free(u->index_path);
	free(u->path);
	free(u);
}

int upper_discard(const char *path, struct error *reterr)
{
	static const char *const names[] = { "index.db", "index.db-wal", "files",
					     "staging",  "reserve",      "base.new",
					     "base" };
	CLEANUP(upper_closep) struct upper *u = calloc(1, sizeof(*u));
	if (!u)
		return -ENOMEM;
	init(u, false);
	u->fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (u->fd == -ENOENT)
		return 0;
	if (u->fd < 0)
		return error_errno(reterr, u->fd, "cannot open '%s'", path);
	u->path = strdup(path);
	int r = u->path ? check_own(u->fd, path, reterr) : -ENOMEM;
	if (r == 0)
		r = take_lock(u, "", reterr);
	/* index.db first: who makes a new one removes what is left of the rest. */
	for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(*names); i++) {
		r = file_remove_tree_at(u->fd, names[i]);
		if (r < 0)
			return error_errno(reterr, r, "cannot remove '%s/%s'", path,
					   names[i]);
	}
	return r;
}

int upper_fd(const struct upper *u)
{
	return u->fd;
}

bool upper_has_rows(struct upper *u)
{
	return atomic_load_explicit(&u->exists, memory_order_acquire);
}

uint64_t upper_last_change(struct upper *u)
{
	(void)pthread_mutex_lock(&u->lock);
	uint64_t change = u->change;
	(void)pthread_mutex_unlock(&u->lock);
	return change;
}

bool upper_may_have(struct upper *u, uint64_t node)
{
	return upper_has_rows(u) &&
	       ((node & NODE_UPPER) != 0 || filter_may_have(&u->filter, node));
}

struct upper_reader *upper_read(struct upper *u)
{
	if (!upper_has_rows(u))
		return NULL;
	(void)pthread_mutex_lock(&u->lock);
	return &u->writer;
}

struct upper_reader *upper_read_list(struct upper *u)
{
	if (!upper_has_rows(u))
		return NULL;
	unsigned first = atomic_fetch_add(&u->next_reader, 1);
	for (unsigned i = 0; i < READERS; i++) {
		struct upper_reader *r = &u->readers[(first + i) % READERS];
		if (pthread_mutex_trylock(&r->busy) == 0)
			return r;
	}
	struct upper_reader *r = &u->readers[first % READERS];
	(void)pthread_mutex_lock(&r->busy);
	return r;
}

void upper_read_end(struct upper *u, struct upper_reader *reader)
{
	if (reader == &u->writer) {
		(void)pthread_mutex_unlock(&u->lock);
	} else if (reader) {
		upper_list_end(reader);
		(void)pthread_mutex_unlock(&reader->busy);
	}
}

static int make_index(struct upper *u)
{
	int r = u->on_first ? u->on_first(u->context) : 0;
	return r < 0 ? r : upper_open_index(u, true);
}

static int start_change(struct upper *u, bool adds)
{
	int r = upper_has_rows(u) ? 0 : make_index(u);
	if (r < 0)
		return r;
	if (adds && atomic_load(&u->low)) {
		reserve_refill(u);
		if (atomic_load(&u->low))
			return -ENOSPC;
	}
	if (!u->armed || u->next + NUMBERS_OF_ONE_CHANGE >= u->mark)
		r = upper_arm(u);
	if (r == 0)
		r = sql_do(&u->writer.sql, SQL_BEGIN);
	u->in_change = r == 0;
	return r;
}

int upper_begin_rows(struct upper *u)
{
	if (!u->due)
		return 0;
	u->due = false;
	return start_change(u, u->due_adds);
}

int upper_begin(struct upper *u, bool adds, struct upper_reader **ret)
{
	(void)pthread_mutex_lock(&u->lock);
	u->due = !upper_has_rows(u);
	u->due_adds = adds;
	int r = u->due ? 0 : start_change(u, adds);
	if (r < 0)
		(void)pthread_mutex_unlock(&u->lock);
	else
		*ret = &u->writer;
	return r;
}

static int write_meta(struct upper *u, const struct upper_record *record)
{
	sqlite3_stmt *s = sql_use(&u->writer.sql, SQL_META_WRITE);
	if (!s)
		return sql_error(&u->writer.sql);
	(void)sqlite3_bind_int64(s, 1, (int64_t)u->next);
	(void)sqlite3_bind_int64(s, 2, (int64_t)u->change);
	(void)sqlite3_bind_int64(s, 3, (int64_t)record->unique);
	(void)sqlite3_bind_int64(s, 4, record->result);
	(void)sqlite3_bind_int64(s, 5, (int64_t)record->node);
	return sql_run(&u->writer.sql, s);
}

int upper_commit(struct upper *u, const struct upper_record *record)
{
	size_t noted = 0;
	if (u->due)
		return 0;
	if (!record)
		record = &u->record;
	int r = notes_write(u, &noted);
	if (r == 0)
		r = write_meta(u, record);
	if (r == 0)
		r = sql_do(&u->writer.sql, SQL_COMMIT);
	if (r < 0)
		return r;
	u->in_change = false;
	notes_done(u, noted);
	u->record = *record;
	uint64_t size = atomic_load(&u->wal_size);
	/* It began anew. */
	if (size < u->wal_asked)
		u->wal_asked = 0;
	if (size - u->wal_asked > WAL_CHECKPOINT) {
		u->wal_asked = size;
		janitor_write_back(u);
	}
	return 0;
}

void upper_end(struct upper *u)
{
	if (u->in_change) {
		(void)sql_do(&u->writer.sql, SQL_ROLLBACK);
		recent_undo(&u->recent);
	}
	u->in_change = u->due = false;
	(void)pthread_mutex_unlock(&u->lock);
}

bool upper_last_record(const struct upper *u, struct upper_record *ret)
{
	*ret = u->record;
	return u->record.unique != 0;
}

uint64_t upper_new_node(struct upper *u)
{
	return NODE_UPPER | u->next++;
}

uint64_t upper_new_cookie(struct upper *u)
{
	return COOKIE_UPPER | u->next++;
}

int upper_sync(struct upper *u)
{
	if (!u->sync || !upper_has_rows(u))
		return 0;
	return fdatasync(u->wal_fd) < 0 ? -errno : 0;
}
