#include "fusefs/serve/session.h"

#include "cache/base/bytes.h"
#include "fusefs/serve/log.h"
#include "fusefs/serve/near.h"
#include "fusefs/serve/ops.h"
#include "fusefs/serve/request.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
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
	NOTIFY_RESEND = 7, /* FUSE_NOTIFY_RESEND, of kernel 6.9 */
};

struct session {
	struct session_options options;
	struct ops ops;
	struct fuse_session *se;
	struct shared *shared;
	atomic_uint slots; /* bits: buffers in use by threads */
	_Atomic(int) result;
	atomic_flag ready;
	/* Threads that serve, and those of them that are kept by something long. */
	atomic_uint serving, blocked;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned helpers; /* guarded by lock: detached threads */
	struct near near;
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
	/* The INIT of an earlier server's time was answered then. */
	if (ops->replaying) {
		ssize_t size = 0;
		for (int i = 0; i < count; i++)
			size += (ssize_t)iov[i].iov_len;
		return size;
	}
	if (ops_has(ops, FEATURE_KILLPRIV))
		request_patch_init(iov, count, FUSE_HANDLE_KILLPRIV_V2);
	ssize_t n = writev(fd, iov, count);
	/* Under the writer's lock still, if it was a change: what is killed from here on
	 * finds this one in the record, or done. */
	request_answered();
	return n;
}

/* libfuse wants one; the loop below reads. */
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
	s->shared = options->shared;
	s->ops = (struct ops){ .overlay = options->overlay,
			       .shared = options->shared,
			       .log = options->log,
			       .features = options->features };
	near_init(&s->near, options->near);
	atomic_flag_clear(&s->ready);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->ended, NULL);
	int r = make_scratches(&s->ops, SHARED_THREADS);
	if (r < 0)
		return r;
	s->se = fuse_session_new(&args, &operations, sizeof(operations), &s->ops);
	fuse_opt_free_args(&args);
	if (!s->se || fuse_session_custom_io(s->se, &io, options->fuse_fd) != 0)
		return error_set(reterr, -EIO, "libfuse cannot use /dev/fuse");
	*ret = steal_ptr(s);
	return 0;
}

/* A buffer that lies in the shared memory, of its own for each thread. */
static unsigned take_slot(struct session *s)
{
	unsigned used = atomic_load(&s->slots);
	unsigned free;
	do {
		free = (unsigned)__builtin_ctz(~used);
	} while (!atomic_compare_exchange_weak(&s->slots, &used, used | 1u << free));
	/* A SIGKILL while the kernel copies into a page that is not there yet would end
	 * the request with an error. */
	(void)madvise(shared_buffer(s->shared, free), SHARED_BUFFER, MADV_POPULATE_WRITE);
	return free;
}

static void give_slot(struct session *s, unsigned slot)
{
	atomic_fetch_and(&s->slots, ~(1u << slot));
}

static uint64_t now_ns(void)
{
	enum { NS = 1000000000 };
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

static void save_init(struct session *s, const void *message, size_t size)
{
	if (size > SHARED_INIT || atomic_load(&s->shared->init_size) > 0)
		return;
	memcpy(s->shared->init, message, size);
	atomic_store(&s->shared->init_size, (uint32_t)size);
}

/* Once an INIT has been answered; a few others may come before we get to say so. */
static void tell_ready(struct session *s)
{
	if (atomic_load_explicit(&s->shared->init_size, memory_order_relaxed) > 0 &&
	    !atomic_flag_test_and_set(&s->ready))
		s->options.on_ready(s->options.context);
}

static void process(struct session *s, void *message, size_t size, bool again)
{
	struct fuse_buf buf = { .mem = message, .size = size };
	if (request_begin(message, size, again))
		fuse_session_process_buf(s->se, &buf);
	request_end();
}

/* What is noted while a request is under way: for a successor, and for "status". */
static void note_request(struct session *s, struct shared_slot *slot,
			 const struct fuse_in_header *header)
{
	if (header->opcode < OPCODES)
		atomic_fetch_add_explicit(&s->shared->requests[header->opcode], 1,
					  memory_order_relaxed);
	atomic_store_explicit(&slot->opcode, header->opcode, memory_order_relaxed);
	atomic_store_explicit(&slot->since, now_ns(), memory_order_relaxed);
	atomic_store_explicit(&slot->unique, header->unique & ~REQUEST_RESENT,
			      memory_order_release);
}

/*
 * The message in a buffer is one that was received and not answered as long as its header
 * has a number: it is there from the moment on that the kernel has handed it out, so a
 * server that is killed at any time leaves it.
 */
static bool is_pending(const struct fuse_in_header *header)
{
	return header->unique != 0 && header->len >= sizeof(*header) &&
	       header->len <= SHARED_BUFFER;
}

static void set_done(struct session *s, unsigned number)
{
	struct fuse_in_header *header = shared_buffer(s->shared, number);
	header->unique = 0;
	atomic_store_explicit(&s->shared->slots[number].unique, 0, memory_order_release);
}

static enum near_kind kind_of(uint32_t opcode)
{
	if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
	    opcode == FUSE_INTERRUPT)
		return NEAR_ASIDE;
	return opcode == FUSE_READ ? NEAR_PAGES : NEAR_COUNTS;
}

/* One request; false when there will be no more. */
static bool serve_one(struct session *s, unsigned number)
{
	struct fuse_in_header *header = shared_buffer(s->shared, number);
	set_done(s, number);
	ssize_t n = read(s->options.fuse_fd, header, SHARED_BUFFER);
	/* ENOENT: it was interrupted before it was read. */
	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
		return true;
	/* ENODEV: unmounted. */
	if (n < 0 && errno != ENODEV)
		atomic_store(&s->result, -errno);
	if (n < (ssize_t)sizeof(*header))
		return false;
	bool is_init = header->opcode == FUSE_INIT;
	note_request(s, &s->shared->slots[number], header);
	near_request(&s->near, header->pid, kind_of(header->opcode));
	process(s, header, (size_t)n, false);
	if (is_init)
		save_init(s, header, (size_t)n);
	set_done(s, number);
	atomic_fetch_add_explicit(&s->shared->answered, 1, memory_order_relaxed);
	tell_ready(s);
	return true;
}

/*
 * What an earlier server left unanswered. The kernel sends it again, or (before 6.9) it
 * is still in the buffers that it was received into. One that had been answered just
 * before the end is answered once more, to nobody.
 */
static void serve_buffers(struct session *s)
{
	for (unsigned i = 0; i < SHARED_THREADS; i++) {
		const struct shared_slot *slot = &s->shared->slots[i];
		struct fuse_in_header *header = shared_buffer(s->shared, i);
		if (!is_pending(header))
			continue;
		/* It may have been handed to libfuse under another one. */
		if (atomic_load(&slot->unique) == (header->unique & ~REQUEST_RESENT))
			header->opcode = atomic_load(&slot->opcode);
		process(s, header, header->len, true);
		/* At once: who follows must not do it again. */
		set_done(s, i);
		atomic_fetch_add(&s->shared->answered, 1);
	}
}

static bool ask_for_resend(struct session *s)
{
	const struct fuse_out_header notify = { .len = sizeof(notify),
						.error = NOTIFY_RESEND };
	return (s->options.features & FEATURE_RESEND) &&
	       write(s->options.fuse_fd, &notify, sizeof(notify)) ==
		   (ssize_t)sizeof(notify);
}

static void take_over(struct session *s)
{
	size_t size = atomic_load(&s->shared->init_size);
	uint8_t init[SHARED_INIT];
	if (size == 0 || size > SHARED_INIT)
		return;
	memcpy(init, s->shared->init, size);
	s->ops.replaying = true;
	process(s, init, size, false);
	s->ops.replaying = false;
	if (!ask_for_resend(s))
		serve_buffers(s);
	for (unsigned i = 0; i < SHARED_THREADS; i++)
		set_done(s, i);
	tell_ready(s);
}

static void *serve(void *argument)
{
	struct session *s = argument;
	unsigned slot = take_slot(s);
	(void)atomic_fetch_add(&s->serving, 1);
	while (!fuse_session_exited(s->se) && serve_one(s, slot))
		;
	(void)atomic_fetch_sub(&s->serving, 1);
	fuse_session_exit(s->se);
	give_slot(s, slot);
	return NULL;
}

/* Serves as long as others are kept. */
static void *help(void *argument)
{
	struct session *s = argument;
	unsigned slot = take_slot(s);
	while (!fuse_session_exited(s->se) && serve_one(s, slot) &&
	       atomic_load(&s->serving) - atomic_load(&s->blocked) <= s->options.threads)
		;
	give_slot(s, slot);
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
	near_leave(&s->near);
	(void)pthread_mutex_lock(&s->lock);
	if (atomic_load(&s->serving) < SHARED_THREADS &&
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
	take_over(s);
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
	near_finish(&s->near);
	free(s);
}
