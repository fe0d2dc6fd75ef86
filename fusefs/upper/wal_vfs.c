#include "fusefs/upper/wal_vfs.h"

#include "cache/base/bytes.h"
#include "fusefs/upper/sql.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

/*
 * Below it is "unix-excl": the whole process holds the file, so that nobody else can
 * write to an open upper, the index of the WAL lies in memory, and several connections of
 * this process still work at once.
 *
 * SQLite writes a commit as a header and a page for each frame, two calls each, and a
 * small change has five. The frames of a commit follow each other, and the header of the
 * last one says that it is. So they are kept until then. Whoever reads the WAL learns of
 * a commit only after its last write has returned, and by then all of it is in the file.
 */
enum {
	FRAME_HEADER = 24,
	FRAME_COMMIT_AT = 4, /* in the header: not 0 in the last frame of a commit */
	PENDING_MOST = 1 << 20,
};

struct wal_file {
	sqlite3_file base;
	struct buffer pending; /* what is to be written at pending_at */
	sqlite3_int64 pending_at;
	bool last;          /* the header of the last frame has come, its page has not */
	sqlite3_file *real; /* behind this struct */
};

static struct wal_file *wal_of(sqlite3_file *file)
{
	return (struct wal_file *)(void *)file;
}

static _Thread_local bool over_quota;

bool wal_vfs_over_quota(void)
{
	return over_quota;
}

/* SQLite knows no quotas, and would call it a broken disk. */
static int write_through(sqlite3_file *real, const void *bytes, int size,
			 sqlite3_int64 at)
{
	int code = real->pMethods->xWrite(real, bytes, size, at);
	int why = 0;
	if (code == SQLITE_OK)
		return code;
	(void)real->pMethods->xFileControl(real, SQLITE_FCNTL_LAST_ERRNO, &why);
	over_quota = code == SQLITE_IOERR_WRITE && why == EDQUOT;
	return over_quota ? SQLITE_FULL : code;
}

static int flush(struct wal_file *w)
{
	if (w->pending.size == 0)
		return SQLITE_OK;
	int code =
	    write_through(w->real, w->pending.data, (int)w->pending.size, w->pending_at);
	w->pending.size = 0;
	w->last = false;
	return code;
}

static sqlite3_file *flushed(sqlite3_file *file, int *ret_code)
{
	struct wal_file *w = wal_of(file);
	*ret_code = flush(w);
	return w->real;
}

static int wal_close(sqlite3_file *file)
{
	int code;
	sqlite3_file *real = flushed(file, &code);
	buffer_release(&wal_of(file)->pending);
	int closed = real->pMethods->xClose(real);
	return code != SQLITE_OK ? code : closed;
}

static int wal_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 at)
{
	int code;
	sqlite3_file *real = flushed(file, &code);
	return code != SQLITE_OK ? code : real->pMethods->xRead(real, bytes, size, at);
}

static bool follows(const struct wal_file *w, int size, sqlite3_int64 at)
{
	return w->pending.size > 0 &&
	       at == w->pending_at + (sqlite3_int64)w->pending.size &&
	       w->pending.size + (size_t)size <= PENDING_MOST;
}

/* A frame's header begins what is kept; its page, and further frames, follow. */
static int wal_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at)
{
	struct wal_file *w = wal_of(file);
	if (!follows(w, size, at)) {
		int code = flush(w);
		if (code != SQLITE_OK || size != FRAME_HEADER)
			return code != SQLITE_OK
				   ? code
				   : write_through(w->real, bytes, size, at);
		w->pending_at = at;
	}
	if (buffer_append(&w->pending, bytes, (size_t)size) < 0)
		return SQLITE_NOMEM;
	if (size == FRAME_HEADER) {
		uint32_t commit;
		memcpy(&commit, (const char *)bytes + FRAME_COMMIT_AT, sizeof(commit));
		w->last = commit != 0;
		return SQLITE_OK;
	}
	return w->last ? flush(w) : SQLITE_OK;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int code;
	sqlite3_file *real = flushed(file, &code);
	return code != SQLITE_OK ? code : real->pMethods->xTruncate(real, size);
}

static int wal_sync(sqlite3_file *file, int flags)
{
	int code;
	sqlite3_file *real = flushed(file, &code);
	return code != SQLITE_OK ? code : real->pMethods->xSync(real, flags);
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	int code;
	sqlite3_file *real = flushed(file, &code);
	return code != SQLITE_OK ? code : real->pMethods->xFileSize(real, ret);
}

static int wal_lock(sqlite3_file *file, int level)
{
	sqlite3_file *real = wal_of(file)->real;
	return real->pMethods->xLock(real, level);
}

static int wal_unlock(sqlite3_file *file, int level)
{
	sqlite3_file *real = wal_of(file)->real;
	return real->pMethods->xUnlock(real, level);
}

static int wal_check_lock(sqlite3_file *file, int *ret)
{
	sqlite3_file *real = wal_of(file)->real;
	return real->pMethods->xCheckReservedLock(real, ret);
}

static int wal_control(sqlite3_file *file, int what, void *argument)
{
	sqlite3_file *real = wal_of(file)->real;
	return real->pMethods->xFileControl(real, what, argument);
}

static int wal_sector(sqlite3_file *file)
{
	sqlite3_file *real = wal_of(file)->real;
	return real->pMethods->xSectorSize(real);
}

static int wal_traits(sqlite3_file *file)
{
	sqlite3_file *real = wal_of(file)->real;
	return real->pMethods->xDeviceCharacteristics(real);
}

static sqlite3_vfs *base;
static sqlite3_vfs shim;

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
		     int *ret_flags)
{
	static const sqlite3_io_methods methods = {
		.iVersion = 1,
		.xClose = wal_close,
		.xRead = wal_read,
		.xWrite = wal_write,
		.xTruncate = wal_truncate,
		.xSync = wal_sync,
		.xFileSize = wal_size,
		.xLock = wal_lock,
		.xUnlock = wal_unlock,
		.xCheckReservedLock = wal_check_lock,
		.xFileControl = wal_control,
		.xSectorSize = wal_sector,
		.xDeviceCharacteristics = wal_traits,
	};
	(void)vfs;
	if (!(flags & SQLITE_OPEN_WAL))
		return base->xOpen(base, name, file, flags, ret_flags);
	struct wal_file *w = wal_of(file);
	*w = (struct wal_file){ .real = (sqlite3_file *)(void *)(w + 1) };
	int code = base->xOpen(base, name, w->real, flags, ret_flags);
	w->base.pMethods = w->real->pMethods ? &methods : NULL;
	return code;
}

static void register_once(void)
{
	/* Nobody asks how much memory SQLite has, and counting it takes a lock each time.
	 */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	base = sqlite3_vfs_find("unix-excl");
	if (!base)
		return;
	shim = *base;
	shim.pNext = NULL;
	shim.zName = "venvfs";
	shim.szOsFile = base->szOsFile + (int)sizeof(struct wal_file);
	shim.xOpen = open_file;
	if (sqlite3_vfs_register(&shim, 0) != SQLITE_OK)
		base = NULL;
}

const char *wal_vfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, register_once);
	return base ? shim.zName : NULL;
}
