#include "cache/wheel/add.h"

#include "cache/base/file.h"
#include "cache/wheel/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Two kinds of work: opening a wheel (hash, checks), which makes ranges, and unpacking a
 * range. Threads prefer ranges, so that what was opened is finished, and otherwise open
 * the largest wheel that is left. Whoever unpacks the last range of a wheel publishes it.
 */
struct task {
	struct wheel_job *job;
	uint64_t size; /* of the file */
	int fd;
	struct stat st;
	struct wheel wheel;
	struct unpack *unpack;
	uint32_t next_range; /* guarded by pool.lock */
	uint32_t left;       /* ranges not finished; guarded by pool.lock */
};

struct pool {
	struct cache *cache;
	const struct wheel_options *options;
	wheel_add_progress *progress;
	void *context;
	struct task *tasks; /* largest file first */
	size_t count;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t next_open;        /* first task that nobody opened; guarded by lock */
	size_t opening;          /* tasks being opened; guarded by lock */
	size_t done;             /* guarded by lock */
	struct task **unpacking; /* tasks with ranges to hand out; guarded by lock */
	size_t unpacking_count;  /* guarded by lock */
};

static int hash_file(int fd, uint64_t size, struct sha256 *ret)
{
	enum { PART = 1 << 20 };
	cleanup_free uint8_t *bytes = malloc(PART);
	CLEANUP(sha256_stream_freep) struct sha256_stream *s = sha256_stream_new();
	if (!bytes || !s)
		return -ENOMEM;
	for (uint64_t at = 0; at < size;) {
		size_t part = size - at < PART ? (size_t)(size - at) : PART;
		int r = file_pread_all(fd, bytes, part, at);
		if (r < 0)
			return r;
		sha256_stream_add(s, bytes, part);
		at += part;
	}
	*ret = sha256_stream_end(s);
	return 0;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static const char *name_of(const struct wheel_job *job)
{
	return job->file_name ? job->file_name : file_name(job->path);
}

static bool same_stamps(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int open_file(struct task *t, struct error *reterr)
{
	if (t->job->is_unpacked) {
		t->fd = file_open(AT_FDCWD, t->job->path, O_RDONLY | O_DIRECTORY, 0);
		return t->fd < 0 ? error_set(reterr, t->fd, "%s", strerror(-t->fd)) : 0;
	}
	t->fd = file_open(AT_FDCWD, t->job->path, O_RDONLY | O_NONBLOCK, 0);
	if (t->fd < 0)
		return error_set(reterr, t->fd, "%s", strerror(-t->fd));
	if (fstat(t->fd, &t->st) < 0)
		return error_set(reterr, -errno, "%s", strerror(errno));
	if (!S_ISREG(t->st.st_mode))
		return error_set(reterr, -EINVAL, "it is no regular file");
	return 0;
}

static int check_expected(const struct wheel_job *job, const struct sha256 *found,
			  struct error *reterr)
{
	if (!job->expected || memcmp(job->expected, found, sizeof(*found)) == 0)
		return 0;
	char expected[SHA256_HEX_SIZE];
	char hex[SHA256_HEX_SIZE];
	sha256_format(job->expected, expected);
	sha256_format(found, hex);
	return error_set(reterr, -EBADMSG, "its sha256 is %s, expected was %s", hex,
			 expected);
}

/* One that was taken by --lenient-record is for nobody else. */
static bool is_allowed(const struct pool *p, const struct wheel_note *note)
{
	return !note->lenient || p->options->lenient_record;
}

/*
 * The file's name is a part of what was checked when the content came in: under another
 * one the same rules apply once more.
 */
static int check_other_name(const struct pool *p, struct task *t, struct error *reterr)
{
	const char *name = name_of(t->job);
	if (is_allowed(p, &t->job->note) && strcmp(name, t->job->note.file_name) == 0)
		return 0;
	return wheel_open(t->fd, (uint64_t)t->st.st_size, name, p->options, &t->wheel,
			  reterr);
}

/* 1: the wheel is in a cache already; 0: it must be unpacked. */
static int look_up(struct pool *p, struct task *t, struct error *reterr)
{
	struct wheel_job *job = t->job;
	struct sha256 sha256;
	if (job->is_unpacked) {
		job->note =
		    (struct wheel_note){ .sha256 = *job->expected, .size = job->size };
		return 0;
	}
	bool seen = cache_find_seen(p->cache, &t->st, &sha256) == 0;
	if (!seen) {
		int r = hash_file(t->fd, (uint64_t)t->st.st_size, &sha256);
		if (r < 0)
			return error_set(reterr, r, "cannot read it: %s", strerror(-r));
	}
	int r = check_expected(job, &sha256, reterr);
	if (r < 0)
		return r;
	job->note =
	    (struct wheel_note){ .sha256 = sha256, .size = (uint64_t)t->st.st_size };
	job->was_known =
	    cache_find_wheel(p->cache, &sha256, &job->store, &job->note) == 0;
	if (!job->was_known)
		return 0;
	r = check_other_name(p, t, reterr);
	if (r == 0 && !seen)
		(void)store_note_seen(cache_own(p->cache), &t->st, &sha256);
	return r < 0 ? r : 1;
}

static int begin_unpacking(struct pool *p, struct task *t, struct error *reterr)
{
	struct store *store = cache_own(p->cache);
	if (!store_is_writable(store))
		return error_set(reterr, -EROFS, "the cache '%s' cannot be written",
				 store_path(store));
	int r = t->job->is_unpacked
		    ? wheel_open_unpacked(t->fd, name_of(t->job), p->options, &t->wheel,
					  reterr)
		    : wheel_open(t->fd, (uint64_t)t->st.st_size, name_of(t->job),
				 p->options, &t->wheel, reterr);
	return r < 0 ? r : unpack_new(store, &t->wheel, &t->unpack);
}

/* Only for people: a path that is too long for a note is left out. */
static void note_origin(struct wheel_job *job)
{
	cleanup_free char *path = NULL;
	cleanup_buffer struct buffer url = BUFFER_INIT;
	if (job->origin) {
		if (strlen(job->origin) < sizeof(job->note.origin))
			strcpy(job->note.origin, job->origin);
		return;
	}
	if (path_canonical(job->path, &path, NULL) == 0 &&
	    path_append_url(&url, path) == 0 && url.size < sizeof(job->note.origin))
		memcpy(job->note.origin, url.data, url.size);
}

static int finish_unpacking(struct pool *p, struct task *t, struct error *reterr)
{
	struct wheel_job *job = t->job;
	struct stat now;
	if (!job->is_unpacked && (fstat(t->fd, &now) < 0 || !same_stamps(&t->st, &now)))
		return error_set(reterr, -EBADMSG, "it was changed while it was read");
	int r = unpack_finish(t->unpack, &job->note.image, reterr);
	if (r < 0)
		return r;
	(void)snprintf(job->note.file_name, sizeof(job->note.file_name), "%s",
		       name_of(job));
	(void)snprintf(job->note.source, sizeof(job->note.source), "%s",
		       job->source ? job->source : "file");
	note_origin(job);
	job->note.lenient = t->wheel.is_lenient;
	job->store = cache_own(p->cache);
	r = store_note_wheel(job->store, &job->note, reterr);
	if (r == 0 && !job->is_unpacked)
		(void)store_note_seen(job->store, &t->st, &job->note.sha256);
	return r;
}

static void end_task(struct pool *p, struct task *t)
{
	struct wheel_job *job = t->job;
	if (job->result < 0)
		(void)error_prefix(&job->err, job->result, "%s",
				   job->origin ? job->origin : job->path);
	unpack_free(t->unpack);
	t->unpack = NULL;
	wheel_release(&t->wheel);
	cleanup_close_fn(&t->fd);
	(void)pthread_mutex_lock(&p->lock);
	p->done++;
	if (p->progress)
		p->progress(p->context, job, p->done, p->count);
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}

static void open_task(struct pool *p, struct task *t)
{
	struct wheel_job *job = t->job;
	int r = open_file(t, &job->err);
	if (r == 0)
		r = look_up(p, t, &job->err);
	if (r == 0)
		r = begin_unpacking(p, t, &job->err);
	bool unpacks = r == 0 && t->unpack;
	if (r < 0)
		job->result = r;
	(void)pthread_mutex_lock(&p->lock);
	p->opening--;
	if (unpacks) {
		t->left = unpack_ranges(t->unpack);
		p->unpacking[p->unpacking_count++] = t;
	}
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
	if (!unpacks)
		end_task(p, t);
}

static void run_range(struct pool *p, struct task *t, uint32_t range)
{
	struct error err = ERROR_INIT;
	/* After a failure the rest is only counted; a torn read of it costs one range of
	 * work. */
	(void)pthread_mutex_lock(&p->lock);
	int r = t->job->result;
	(void)pthread_mutex_unlock(&p->lock);
	if (r == 0)
		r = unpack_range(t->unpack, range, &err);
	(void)pthread_mutex_lock(&p->lock);
	if (r < 0 && t->job->result == 0) {
		t->job->result = r;
		t->job->err = err;
	}
	bool last = --t->left == 0;
	(void)pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	if (t->job->result == 0)
		t->job->result = finish_unpacking(p, t, &t->job->err);
	end_task(p, t);
}

/* Takes a range of the wheel opened first; REQUIRES p->lock. */
static struct task *take_range_locked(struct pool *p, uint32_t *ret_range)
{
	if (p->unpacking_count == 0)
		return NULL;
	struct task *t = p->unpacking[0];
	*ret_range = t->next_range++;
	if (t->next_range == unpack_ranges(t->unpack)) {
		p->unpacking_count--;
		memmove(p->unpacking, p->unpacking + 1,
			p->unpacking_count * sizeof(struct task *));
	}
	return t;
}

static void *work(void *context)
{
	struct pool *p = context;
	(void)pthread_mutex_lock(&p->lock);
	while (p->done < p->count) {
		uint32_t range;
		struct task *t = take_range_locked(p, &range);
		if (t) {
			(void)pthread_mutex_unlock(&p->lock);
			run_range(p, t, range);
			(void)pthread_mutex_lock(&p->lock);
		} else if (p->next_open < p->count) {
			t = &p->tasks[p->next_open++];
			p->opening++;
			(void)pthread_mutex_unlock(&p->lock);
			open_task(p, t);
			(void)pthread_mutex_lock(&p->lock);
		} else {
			(void)pthread_cond_wait(&p->changed, &p->lock);
		}
	}
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int compare_sizes(const void *a, const void *b)
{
	const struct task *x = a;
	const struct task *y = b;
	return (x->size < y->size) - (x->size > y->size);
}

static size_t thread_count(size_t jobs)
{
	cpu_set_t cpus;
	size_t count =
	    sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (size_t)CPU_COUNT(&cpus) : 1;
	/* A wheel may have many ranges, so few jobs may still keep all cores busy. */
	return count > 16 ? 16 : count == 0 || jobs == 0 ? 1 : count;
}

static int run_pool(struct pool *p)
{
	pthread_t threads[16];
	size_t started = 0;
	size_t wanted = thread_count(p->count) - 1;
	while (started < wanted && pthread_create(&threads[started], NULL, work, p) == 0)
		started++;
	(void)work(p); /* this thread works, too, so that one core suffices */
	for (size_t i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	return 0;
}

/* Files that are known by their stamps need neither threads nor to be opened. */
static bool is_known(struct pool *p, struct wheel_job *job, uint64_t *ret_size)
{
	struct stat st;
	struct sha256 sha256;
	if (job->is_unpacked) {
		*ret_size = job->size;
		return false;
	}
	if (stat(job->path, &st) < 0)
		return false;
	*ret_size = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) || cache_find_seen(p->cache, &st, &sha256) < 0 ||
	    check_expected(job, &sha256, NULL) < 0 ||
	    cache_find_wheel(p->cache, &sha256, &job->store, &job->note) < 0 ||
	    !is_allowed(p, &job->note) || strcmp(name_of(job), job->note.file_name) != 0)
		return false;
	job->was_known = true;
	return true;
}

int wheel_add_many(struct cache *cache, struct wheel_job *jobs, size_t count,
		   const struct wheel_options *options, wheel_add_progress *progress,
		   void *context)
{
	cleanup_free struct task *tasks = calloc(count + 1, sizeof(*tasks));
	cleanup_free struct task **unpacking = calloc(count + 1, sizeof(struct task *));
	if (!tasks || !unpacking)
		return -ENOMEM;
	struct pool p = { .cache = cache,
			  .options = options,
			  .progress = progress,
			  .context = context,
			  .tasks = tasks,
			  .unpacking = unpacking };
	for (size_t i = 0; i < count; i++) {
		uint64_t size = 0;
		if (!is_known(&p, &jobs[i], &size))
			tasks[p.count++] =
			    (struct task){ .job = &jobs[i], .size = size, .fd = -1 };
	}
	if (p.count == 0)
		return 0;
	qsort(tasks, p.count, sizeof(*tasks), compare_sizes);
	(void)pthread_mutex_init(&p.lock, NULL);
	(void)pthread_cond_init(&p.changed, NULL);
	int r = run_pool(&p);
	(void)pthread_cond_destroy(&p.changed);
	(void)pthread_mutex_destroy(&p.lock);
	return r;
}
