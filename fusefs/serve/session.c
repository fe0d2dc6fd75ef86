#include "fusefs/serve/session.h"

#include "cache/base/bytes.h"
#include "fusefs/serve/log.h"
#include "fusefs/serve/near.h"
#include "fusefs/serve/ops.h"
#include "fusefs/serve/pending.h"
#include "fusefs/serve/request.h"

#include <assert.h>
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
 * the same, but the header is where counting hangs, and where a successor looks for
 * requests that its predecessor left unanswered (pending.h).
 */

enum {
	BACKGROUND_MOST = 64,
	CONGESTION = 48,
	SMALL_READ = 128 << 10,
	SERVING_LEFT = 2,
	NOTIFY_RESEND = 7, /* FUSE_NOTIFY_RESEND, of kernel 6.9 */
};

/* The kernel reads a WRITE into a buffer only when that has room for the largest. */
_Static_assert(SHARED_BUFFER >= WRITE_MOST + 4096, "a buffer holds a WRITE");

struct session {
	struct session_options options;
	struct ops ops;
	struct fuse_session *se;
	struct shared *shared;
	atomic_uint slots;    /* bits: buffers in use by threads, or not yet served */
	atomic_uint prepared; /* bits */
	_Atomic(int) result;
	atomic_flag ready;
	/* Threads that serve, and those of them that are kept by something long. */
	atomic_uint serving, blocked;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	unsigned helpers; /* guarded by lock: detached threads */
	struct near near;
};

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
	{ FEATURE_HANDLES, FUSE_CAP_EXPORT_SUPPORT, true },
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
	struct ops *ops = userdata;
	/* The INIT of an earlier server's time was answered then. */
	if (ops->replaying) {
		ssize_t size = 0;
		for (int i = 0; i < count; i++)
			size += (ssize_t)iov[i].iov_len;
		return size;
	}
	request_patch_init(iov, count,
			   ops_has(ops, FEATURE_KILLPRIV) ? FUSE_HANDLE_KILLPRIV_V2 : 0,
			   WRITE_MOST);
	const struct request *r = request_current();
	if (!r->message || r->slot == PENDING_NO_SLOT)
		return writev(fd, iov, count);
	/* All of it under the writer's lock still, if it was a change. */
	test_death_pass(&ops->death, INSTANT_RUN, r->opcode);
	pending_decide(ops->shared, r->slot, iov, count);
	test_death_pass(&ops->death, INSTANT_DECIDED, r->opcode);
	ssize_t n = writev(fd, iov, count);
	test_death_pass(&ops->death, INSTANT_SENT, r->opcode);
	pending_answered(ops->shared, r->slot);
	test_death_pass(&ops->death, INSTANT_ANSWERED, r->opcode);
	return n;
}

/* libfuse wants one; the loop below reads. */
static ssize_t receive(int fd, void *buffer, size_t size, void *userdata)
{
	(void)userdata;
	return read(fd, buffer, size);
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
	test_death_init(&s->ops.death, getenv("VENVFS_TEST_DIE"), &s->shared->answered);
	near_init(&s->near, options->near);
	atomic_flag_clear(&s->ready);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->ended, NULL);
	int r = scratches_make(&s->ops, SHARED_THREADS);
	if (r < 0)
		return r;
	s->se = fuse_session_new(&args, &operations, sizeof(operations), &s->ops);
	fuse_opt_free_args(&args);
	if (!s->se || fuse_session_custom_io(s->se, &io, options->fuse_fd) != 0)
		return error_set(reterr, -EIO, "libfuse cannot use /dev/fuse");
	*ret = steal_ptr(s);
	return 0;
}

/* A buffer that lies in the shared memory, of its own for each thread; or -1. */
static int take_slot(struct session *s)
{
	unsigned used = atomic_load(&s->slots);
	unsigned free;
	do {
		free = (unsigned)__builtin_ctz(~used);
		if (free >= SHARED_THREADS)
			return -1;
	} while (!atomic_compare_exchange_weak(&s->slots, &used, used | 1u << free));
	if (!(atomic_fetch_or(&s->prepared, 1u << free) & 1u << free))
		pending_prepare(s->shared, free);
	return (int)free;
}

static void give_slot(struct session *s, unsigned slot)
{
	atomic_fetch_and(&s->slots, ~(1u << slot));
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

static void process(struct session *s, struct fuse_buf *buf, unsigned slot, bool again)
{
	if (request_begin(buf->mem, buf->size, slot, again))
		fuse_session_process_buf(s->se, buf);
	request_end();
}

/*
 * No request is ever given up, so the kernel need not ask for that: it stops when told
 * once. What libfuse would remember of it a successor could not know.
 */
static void refuse_interrupt(struct session *s, const struct fuse_in_header *header)
{
	const struct fuse_out_header out = { .len = sizeof(out),
					     .error = -ENOSYS,
					     .unique = header->unique };
	(void)!write(s->options.fuse_fd, &out, sizeof(out));
}

/* What lies in a slot's buffer. */
static void serve_received(struct session *s, unsigned slot, size_t size, bool again)
{
	struct fuse_in_header *header = shared_buffer(s->shared, slot);
	struct fuse_buf buf = { .mem = header, .size = size };
	pending_note(s->shared, slot);
	if (header->opcode == FUSE_INTERRUPT)
		refuse_interrupt(s, header);
	else
		process(s, &buf, slot, again);
}

static enum near_kind kind_of(uint32_t opcode)
{
	if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
	    opcode == FUSE_INTERRUPT)
		return NEAR_ASIDE;
	return opcode == FUSE_READ ? NEAR_PAGES : NEAR_COUNTS;
}

/* One request; false when there will be no more. */
static bool serve_one(struct session *s, unsigned slot)
{
	struct fuse_in_header *header = shared_buffer(s->shared, slot);
	pending_clear(s->shared, slot);
	ssize_t n = read(s->options.fuse_fd, header, SHARED_BUFFER);
	/* ENOENT: it was interrupted before it was read. */
	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
		return true;
	/* ENODEV: unmounted. */
	if (n < 0 && errno != ENODEV)
		atomic_store(&s->result, -errno);
	if (n < (ssize_t)sizeof(*header))
		return false;
	const uint32_t opcode = header->opcode;
	test_death_pass(&s->ops.death, INSTANT_RECEIVED, opcode);
	near_request(&s->near, header->pid, kind_of(opcode));
	serve_received(s, slot, (size_t)n, false);
	if (opcode == FUSE_INIT) {
		save_init(s, header, (size_t)n);
		test_death_pass(&s->ops.death, INSTANT_BEGUN, opcode);
	}
	pending_clear(s->shared, slot);
	atomic_fetch_add_explicit(&s->shared->answered, 1, memory_order_relaxed);
	tell_ready(s);
	return true;
}

/* What an earlier server has left is not left to the next one. */
static void left_is_served(struct session *s, unsigned slot)
{
	pending_clear(s->shared, slot);
	atomic_fetch_add(&s->shared->answered, 1);
}

/* Where a reply is kept, the request was run, and perhaps answered. */
static void send_kept(struct session *s)
{
	for (unsigned i = 0; i < SHARED_THREADS; i++) {
		const void *reply;
		if (pending_state(s->shared, i) != PENDING_DECIDED)
			continue;
		size_t size = pending_reply(s->shared, i, &reply);
		(void)!write(s->options.fuse_fd, reply, size);
		left_is_served(s, i);
	}
}

/* An INIT was answered, or nobody would follow. The kernel never sends a FORGET again. */
static bool is_to_be_run(const struct fuse_in_header *header, bool is_resent)
{
	bool is_forget =
	    header->opcode == FUSE_FORGET || header->opcode == FUSE_BATCH_FORGET;
	return header->opcode != FUSE_INIT && (!is_resent || is_forget);
}

/*
 * What lies in buffers is no thread's until it was served: one of them may begin
 * something long, for which a helper is started, that needs a free one.
 */
static void serve_buffers(struct session *s, bool is_resent)
{
	unsigned left = 0;
	for (unsigned i = 0; i < SHARED_THREADS; i++) {
		if (pending_state(s->shared, i) == PENDING_RECEIVED)
			left |= 1u << i;
	}
	atomic_store(&s->slots, left);
	for (unsigned i = 0; i < SHARED_THREADS; i++) {
		const struct fuse_in_header *header = shared_buffer(s->shared, i);
		if (!(left & 1u << i))
			continue;
		if (is_to_be_run(header, is_resent)) {
			serve_received(s, i, header->len, true);
			left_is_served(s, i);
		}
		pending_clear(s->shared, i);
		give_slot(s, i);
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
	struct fuse_buf buf = { .mem = init, .size = size };
	if (size == 0 || size > SHARED_INIT)
		return;
	memcpy(init, s->shared->init, size);
	s->ops.replaying = true;
	process(s, &buf, PENDING_NO_SLOT, false);
	s->ops.replaying = false;
	send_kept(s);
	serve_buffers(s, ask_for_resend(s));
	tell_ready(s);
}

static void *serve(void *argument)
{
	struct session *s = argument;
	int slot = take_slot(s);
	assert(slot >= 0); /* helpers leave as many as there are threads */
	(void)atomic_fetch_add(&s->serving, 1);
	while (!fuse_session_exited(s->se) && serve_one(s, (unsigned)slot))
		;
	(void)atomic_fetch_sub(&s->serving, 1);
	fuse_session_exit(s->se);
	give_slot(s, (unsigned)slot);
	return NULL;
}

static bool is_helper_wanted(struct session *s)
{
	return atomic_load(&s->serving) - atomic_load(&s->blocked) <= s->options.threads;
}

/* Serves as long as others are kept. At the start buffers may all be in use. */
static void *help(void *argument)
{
	struct session *s = argument;
	int slot = take_slot(s);
	while (slot >= 0 && !fuse_session_exited(s->se) && serve_one(s, (unsigned)slot) &&
	       is_helper_wanted(s))
		;
	if (slot >= 0)
		give_slot(s, (unsigned)slot);
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
	unsigned blocked = atomic_fetch_add(&s->blocked, 1) + 1;
	near_leave(&s->near);
	/* Two go on serving: enough to let what is short pass by. */
	if (atomic_load(&s->serving) >= blocked + SERVING_LEFT)
		return;
	(void)pthread_mutex_lock(&s->lock);
	if (s->helpers + s->options.threads < SHARED_THREADS) {
		(void)atomic_fetch_add(&s->serving, 1);
		if (pthread_create(&thread, NULL, help, s) == 0) {
			(void)pthread_detach(thread);
			s->helpers++;
		} else {
			(void)atomic_fetch_sub(&s->serving, 1);
		}
	}
	(void)pthread_mutex_unlock(&s->lock);
}

/*
 * The kernel asks for INIT first, and somebody waits for the answer: threads that start
 * beside it, and populate their buffers, would only be in its way.
 */
static void serve_init(struct session *s)
{
	int slot = take_slot(s);
	while (slot >= 0 && atomic_load(&s->shared->init_size) == 0 &&
	       serve_one(s, (unsigned)slot))
		;
	if (slot >= 0)
		give_slot(s, (unsigned)slot);
}

int session_run(struct session *s)
{
	unsigned others = s->options.threads - 1;
	cleanup_free pthread_t *threads = calloc(others + 1, sizeof(*threads));
	unsigned started = 0;
	if (!threads)
		return -ENOMEM;
	take_over(s);
	serve_init(s);
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
	scratches_free(&s->ops);
	near_finish(&s->near);
	free(s);
}
