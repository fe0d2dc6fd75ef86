#include "fusefs/serve/session.h"

#include "cache/base/bytes.h"
#include "fusefs/serve/log.h"
#include "fusefs/serve/ops.h"
#include "fusefs/serve/request.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * The loop is ours: receive, look at the header, process. libfuse's own loops would do
 * the same, but the header is where counting hangs, and where a successor will look for
 * requests that its predecessor left unanswered.
 */

enum {
	BACKGROUND_MOST = 64,
	CONGESTION = 48,
	SMALL_READ = 128 << 10,
	THREADS_MOST = 16,
};

struct session {
	struct session_options options;
	struct ops ops;
	struct fuse_session *se;
	_Atomic(uint64_t) requests[OPCODES];
	_Atomic(int) result;
	atomic_flag ready;
	/* Threads that serve, and those of them that are kept by something long. */
	atomic_uint serving, blocked;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned helpers; /* guarded by lock: detached threads */
};

struct scratch *scratch_take(struct ops *ops)
{
	for (unsigned i = 0;; i = (i + 1) % ops->scratch_count) {
		if (!atomic_flag_test_and_set(&ops->scratches[i].busy))
			return &ops->scratches[i];
	}
}

void scratch_give(struct scratch *scratch)
{
	atomic_flag_clear(&scratch->busy);
}

static const struct {
	enum feature feature;
	unsigned capability;
	bool wanted; /* must be asked for; else using it is enough */
} negotiated[] = {
	{ FEATURE_NO_OPEN, FUSE_CAP_NO_OPEN_SUPPORT, false },
	{ FEATURE_NO_OPENDIR, FUSE_CAP_NO_OPENDIR_SUPPORT, false },
	{ FEATURE_READDIRPLUS, FUSE_CAP_READDIRPLUS, true },
	{ FEATURE_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO, true },
	{ FEATURE_CACHE_SYMLINKS, FUSE_CAP_CACHE_SYMLINKS, true },
	{ FEATURE_PARALLEL_DIROPS, FUSE_CAP_PARALLEL_DIROPS, true },
	{ FEATURE_ASYNC_READ, FUSE_CAP_ASYNC_READ, true },
};

/*
 * `want` is set from nothing, so that no default of some libfuse comes in: not
 * ATOMIC_O_TRUNC (truncation must come as SETATTR, since OPEN does not come), not the
 * writeback cache, not splice (slower for what a venv reads), no invalidation by mtime.
 */
static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	struct ops *ops = userdata;
	unsigned want = 0;
	for (size_t i = 0; i < sizeof(negotiated) / sizeof(*negotiated); i++) {
		bool has = (conn->capable & negotiated[i].capability) != 0;
		if (!has)
			ops->features &= ~(unsigned)negotiated[i].feature;
		else if (negotiated[i].wanted && ops_has(ops, negotiated[i].feature))
			want |= negotiated[i].capability;
	}
	conn->want = want;
	conn->max_write = ops_has(ops, FEATURE_LARGE_READS) ? READ_MOST : SMALL_READ;
	conn->max_readahead = READ_MOST;
	conn->max_background = BACKGROUND_MOST;
	conn->congestion_threshold = CONGESTION;
	conn->time_gran = 1;
}

static const struct fuse_lowlevel_ops operations = {
	.init = on_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.statfs = op_statfs,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.fsyncdir = op_fsyncdir,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.create = op_create,
	.link = op_link,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
};

/*
 * Reading and writing /dev/fuse ourselves lets the reply to INIT hold what this libfuse
 * has no name for.
 */
static ssize_t send_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	const struct ops *ops = userdata;
	if (ops_has(ops, FEATURE_KILLPRIV))
		request_patch_init(iov, count, FUSE_HANDLE_KILLPRIV_V2);
	return writev(fd, iov, count);
}

static ssize_t receive(int fd, void *buffer, size_t size, void *userdata)
{
	(void)userdata;
	return read(fd, buffer, size);
}

static int make_scratches(struct ops *ops, unsigned count)
{
	ops->scratches = calloc(count, sizeof(*ops->scratches));
	if (!ops->scratches)
		return -ENOMEM;
	ops->scratch_count = count;
	for (unsigned i = 0; i < count; i++) {
		atomic_flag_clear(&ops->scratches[i].busy);
		ops->scratches[i].bytes = malloc(IMAGE_SCRATCH(READ_MOST));
		if (!ops->scratches[i].bytes)
			return -ENOMEM;
	}
	return 0;
}

int session_new(const struct session_options *options, struct session **ret,
		struct error *reterr)
{
	char name[] = "venvfs";
	char *argv[] = { name, NULL };
	static const struct fuse_custom_io io = { .writev = send_reply, .read = receive };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	CLEANUP(session_freep) struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->options = *options;
	s->ops = (struct ops){ .overlay = options->overlay,
			       .log = options->log,
			       .features = options->features };
	atomic_flag_clear(&s->ready);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->ended, NULL);
	int r = make_scratches(&s->ops, THREADS_MOST);
	if (r < 0)
		return r;
	s->se = fuse_session_new(&args, &operations, sizeof(operations), &s->ops);
	fuse_opt_free_args(&args);
	if (!s->se || fuse_session_custom_io(s->se, &io, options->fuse_fd) != 0)
		return error_set(reterr, -EIO, "libfuse cannot use /dev/fuse");
	*ret = steal_ptr(s);
	return 0;
}

static void count_request(struct session *s, const struct fuse_buf *buf)
{
	const struct fuse_in_header *header = buf->mem;
	if (buf->size < sizeof(*header) || header->opcode >= OPCODES)
		return;
	atomic_fetch_add_explicit(&s->requests[header->opcode], 1, memory_order_relaxed);
}

/* Once an INIT has been answered; a few others may come before we get to say so. */
static void tell_ready(struct session *s)
{
	if (atomic_load_explicit(&s->requests[FUSE_INIT], memory_order_relaxed) > 0 &&
	    !atomic_flag_test_and_set(&s->ready))
		s->options.on_ready(s->options.context);
}

/* One request; false when there will be no more. */
static bool serve_one(struct session *s, struct fuse_buf *buf)
{
	int r = fuse_session_receive_buf(s->se, buf);
	if (r == -EINTR || r == -EAGAIN)
		return true;
	/* 0: unmounted (libfuse's word for ENODEV). */
	if (r < 0)
		atomic_store(&s->result, r);
	if (r <= 0)
		return false;
	count_request(s, buf);
	if (request_begin(buf->mem, buf->size))
		fuse_session_process_buf(s->se, buf);
	request_end();
	tell_ready(s);
	return true;
}

static void *serve(void *argument)
{
	struct session *s = argument;
	struct fuse_buf buf = { .mem = NULL };
	(void)atomic_fetch_add(&s->serving, 1);
	while (!fuse_session_exited(s->se) && serve_one(s, &buf))
		;
	(void)atomic_fetch_sub(&s->serving, 1);
	fuse_session_exit(s->se);
	free(buf.mem);
	return NULL;
}

/* Serves as long as others are kept. */
static void *help(void *argument)
{
	struct session *s = argument;
	struct fuse_buf buf = { .mem = NULL };
	while (!fuse_session_exited(s->se) && serve_one(s, &buf) &&
	       atomic_load(&s->serving) - atomic_load(&s->blocked) <= s->options.threads)
		;
	free(buf.mem);
	(void)atomic_fetch_sub(&s->serving, 1);
	(void)pthread_mutex_lock(&s->lock);
	s->helpers--;
	(void)pthread_cond_signal(&s->ended);
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

void session_blocking(struct session *s, bool begins)
{
	pthread_t thread;
	if (!begins) {
		(void)atomic_fetch_sub(&s->blocked, 1);
		return;
	}
	(void)atomic_fetch_add(&s->blocked, 1);
	(void)pthread_mutex_lock(&s->lock);
	if (atomic_load(&s->serving) < THREADS_MOST &&
	    pthread_create(&thread, NULL, help, s) == 0) {
		(void)pthread_detach(thread);
		(void)atomic_fetch_add(&s->serving, 1);
		s->helpers++;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

int session_run(struct session *s)
{
	unsigned others = s->options.threads - 1;
	cleanup_free pthread_t *threads = calloc(others + 1, sizeof(*threads));
	unsigned started = 0;
	if (!threads)
		return -ENOMEM;
	/* One thread that serves is enough to serve. */
	while (started < others && pthread_create(&threads[started], NULL, serve, s) == 0)
		started++;
	(void)serve(s);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	(void)pthread_mutex_lock(&s->lock);
	while (s->helpers > 0)
		(void)pthread_cond_wait(&s->ended, &s->lock);
	(void)pthread_mutex_unlock(&s->lock);
	return atomic_load(&s->result);
}

void session_free(struct session *s)
{
	if (!s)
		return;
	if (s->se)
		fuse_session_destroy(s->se);
	for (unsigned i = 0; i < s->ops.scratch_count; i++)
		free(s->ops.scratches[i].bytes);
	free(s->ops.scratches);
	free(s);
}

int session_counters(struct session *s, session_visit_counter *visit, void *context)
{
	static const char *const names[OPCODES] = {
		[FUSE_LOOKUP] = "LOOKUP",
		[FUSE_FORGET] = "FORGET",
		[FUSE_GETATTR] = "GETATTR",
		[FUSE_SETATTR] = "SETATTR",
		[FUSE_READLINK] = "READLINK",
		[FUSE_SYMLINK] = "SYMLINK",
		[FUSE_MKNOD] = "MKNOD",
		[FUSE_MKDIR] = "MKDIR",
		[FUSE_UNLINK] = "UNLINK",
		[FUSE_RMDIR] = "RMDIR",
		[FUSE_RENAME] = "RENAME",
		[FUSE_LINK] = "LINK",
		[FUSE_OPEN] = "OPEN",
		[FUSE_READ] = "READ",
		[FUSE_WRITE] = "WRITE",
		[FUSE_STATFS] = "STATFS",
		[FUSE_RELEASE] = "RELEASE",
		[FUSE_FSYNC] = "FSYNC",
		[FUSE_SETXATTR] = "SETXATTR",
		[FUSE_GETXATTR] = "GETXATTR",
		[FUSE_LISTXATTR] = "LISTXATTR",
		[FUSE_REMOVEXATTR] = "REMOVEXATTR",
		[FUSE_FLUSH] = "FLUSH",
		[FUSE_INIT] = "INIT",
		[FUSE_OPENDIR] = "OPENDIR",
		[FUSE_READDIR] = "READDIR",
		[FUSE_RELEASEDIR] = "RELEASEDIR",
		[FUSE_FSYNCDIR] = "FSYNCDIR",
		[FUSE_ACCESS] = "ACCESS",
		[FUSE_CREATE] = "CREATE",
		[FUSE_INTERRUPT] = "INTERRUPT",
		[FUSE_DESTROY] = "DESTROY",
		[FUSE_IOCTL] = "IOCTL",
		[FUSE_POLL] = "POLL",
		[FUSE_BATCH_FORGET] = "BATCH_FORGET",
		[FUSE_FALLOCATE] = "FALLOCATE",
		[FUSE_READDIRPLUS] = "READDIRPLUS",
		[FUSE_RENAME2] = "RENAME2",
		[FUSE_LSEEK] = "LSEEK",
		[FUSE_COPY_FILE_RANGE] = "COPY_FILE_RANGE",
		[FUSE_TMPFILE] = "TMPFILE",
	};
	int r = 0;
	for (unsigned i = 0; r == 0 && i < OPCODES; i++) {
		char number[16];
		uint64_t count =
		    atomic_load_explicit(&s->requests[i], memory_order_relaxed);
		(void)snprintf(number, sizeof(number), "OPCODE_%u", i);
		if (count > 0)
			r = visit(context, names[i] ? names[i] : number, count);
	}
	return r;
}
