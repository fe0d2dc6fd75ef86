/*
 * Downloads. One thread runs the requests; as they finish, it hands the files over, and
 * the calling thread unpacks them while others are still on their way.
 */
#include "cache/source/source_private.h"

#include "cache/source/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fetch {
	struct session *session;
	struct http_settings http;
	size_t count;
	struct http_request *requests; /* requests[i], downloads[i] of tasks[i] */
	struct download **downloads;
	struct task **tasks;
	struct item *items;
	struct login *logins;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t *ready;      /* indexes of finished requests; guarded by lock */
	size_t ready_count; /* guarded by lock */
	size_t held;        /* downloads with a file that was not taken yet; guarded by
			       lock */
	bool over;          /* no more will come; guarded by lock */
	int result;         /* of the whole; guarded by lock */
	struct error err;   /* guarded by lock */
};

/* Each has two descriptors, and unpacking may be slower than the line. */
enum { HELD_MOST = 128 };

struct login {
	char *user, *password;
};

/* For a download's calls. */
struct item {
	struct fetch *fetch;
	size_t index;
	bool holds;            /* it counts in the fetch's `held`; guarded by its lock */
	uint64_t bytes, total; /* as they stand in the session's sums */
};

static bool may_begin(void *context)
{
	struct item *item = context;
	struct fetch *f = item->fetch;
	(void)pthread_mutex_lock(&f->lock);
	bool may = item->holds || f->held < HELD_MOST;
	f->held += may && !item->holds;
	item->holds = item->holds || may;
	(void)pthread_mutex_unlock(&f->lock);
	return may;
}

/* The same file may be wanted twice by this process: no news to anybody. */
static void on_waits(void *context)
{
	const struct item *item = context;
	const struct fetch *f = item->fetch;
	const struct source_request *request = f->session->request;
	const char *file = f->tasks[item->index]->wheel->file;
	cleanup_free char *line = NULL;
	for (size_t i = 0; i < f->count; i++) {
		if (i != item->index && strcmp(f->tasks[i]->wheel->file, file) == 0)
			return;
	}
	if (!request->say ||
	    asprintf(&line, "waiting for %s, which another venvfs fetches", file) < 0)
		return;
	(void)pthread_mutex_lock(&f->session->lock);
	request->say(request->context, line);
	(void)pthread_mutex_unlock(&f->session->lock);
}

static void on_progress(void *context, uint64_t bytes, int64_t total)
{
	struct item *item = context;
	struct session *s = item->fetch->session;
	uint64_t whole = total < 0 ? bytes : (uint64_t)total;
	(void)pthread_mutex_lock(&s->lock);
	s->progress.bytes += bytes - item->bytes;
	s->progress.total += whole - item->total;
	item->bytes = bytes;
	item->total = whole;
	if (s->request->progress)
		s->request->progress(s->request->context, &s->progress);
	(void)pthread_mutex_unlock(&s->lock);
}

static void on_done(void *context, struct http_request *request)
{
	struct fetch *f = context;
	(void)pthread_mutex_lock(&f->lock);
	f->ready[f->ready_count++] = (size_t)(request - f->requests);
	(void)pthread_cond_signal(&f->changed);
	(void)pthread_mutex_unlock(&f->lock);
}

static void *run(void *context)
{
	struct fetch *f = context;
	struct error err = ERROR_INIT;
	int r = http_run(&f->http, f->requests, f->count, on_done, f, &err);
	(void)pthread_mutex_lock(&f->lock);
	f->over = true;
	f->result = r;
	f->err = err;
	(void)pthread_cond_signal(&f->changed);
	(void)pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* Its lock is given back: whoever waits for it may try. */
static void let_go(struct fetch *f, size_t i, bool drop)
{
	struct download *d = steal_ptr(f->downloads[i]);
	if (drop)
		download_drop(d);
	else
		download_free(d);
	(void)pthread_mutex_lock(&f->lock);
	f->held -= f->items[i].holds;
	f->items[i].holds = false;
	(void)pthread_mutex_unlock(&f->lock);
}

/* What the lock's URL has not, indexes may have under the same hash. */
static bool may_be_elsewhere(const struct fetch *f, size_t i)
{
	const struct task *t = f->tasks[i];
	return f->requests[i].result == -ENOENT && t->wheel != &t->found &&
	       t->wheel->bytes.has_sha256;
}

static void take_failed(struct fetch *f, size_t i)
{
	struct task *t = f->tasks[i];
	struct http_request *q = &f->requests[i];
	t->job->err = q->err;
	/* What came of a file that is not the right one is of no use. */
	let_go(f, i, q->result == -EBADMSG || q->result == -ENOSPC);
	if (may_be_elsewhere(f, i)) {
		t->missing = true;
		t->lost = q->result;
		return;
	}
	task_end(f->session, t, q->result);
}

static int take_sdist(struct fetch *f, size_t i, const char *shown)
{
	struct download *d = f->downloads[i];
	const struct source_file file = { .path = download_path(d),
					  .origin = shown,
					  .sha256 = *download_sha256(d),
					  .held = download_hold(d) };
	task_found_sdist(f->session, f->tasks[i], SOURCE_URL, &file);
	let_go(f, i, false);
	return 0;
}

static int take_one(struct fetch *f, size_t i, struct batch *batch)
{
	struct task *t = f->tasks[i];
	const struct sha256 *sha256 = download_sha256(f->downloads[i]);
	if (!download_path(f->downloads[i])) {
		/* Or another process brought it into the cache meanwhile. */
		if (f->requests[i].result != -EALREADY ||
		    !task_find_in_caches(f->session, t))
			take_failed(f, i);
		return 0;
	}
	cleanup_free char *shown = url_shown(f->requests[i].url);
	if (t->is_sdist)
		return shown ? take_sdist(f, i, shown) : -ENOMEM;
	struct wheel_job job = { .path = download_path(f->downloads[i]),
				 .origin = shown,
				 .expected = sha256 };
	return shown ? batch_add(batch, t, &job) : -ENOMEM;
}

/* Those that came are added, all at once. */
static int take(struct fetch *f, const size_t *ready, size_t count)
{
	CLEANUP(batch_release)
	struct batch batch = { .kind = SOURCE_URL, .is_final = true };
	int r = 0;
	for (size_t k = 0; r == 0 && k < count; k++)
		r = take_one(f, ready[k], &batch);
	if (r == 0)
		batch_run(f->session, &batch);
	for (size_t k = 0; k < count; k++) {
		const struct download *d = f->downloads[ready[k]];
		if (d)
			let_go(f, ready[k], download_path(d) != NULL);
	}
	return r;
}

static int take_all(struct fetch *f)
{
	cleanup_free size_t *ready = calloc(f->count + 1, sizeof(*ready));
	bool over = false;
	int r = ready ? 0 : -ENOMEM;
	while (!over) {
		(void)pthread_mutex_lock(&f->lock);
		while (f->ready_count == 0 && !f->over)
			(void)pthread_cond_wait(&f->changed, &f->lock);
		size_t count = f->ready_count;
		if (ready)
			memcpy(ready, f->ready, count * sizeof(*ready));
		f->ready_count = 0;
		over = f->over;
		(void)pthread_mutex_unlock(&f->lock);
		if (r == 0 && count > 0)
			r = take(f, ready, count);
	}
	return r;
}

static int prepare(struct fetch *f, struct task *t)
{
	struct http_request *q = &f->requests[f->count];
	struct download **d = &f->downloads[f->count];
	struct login *login = &f->logins[f->count];
	const struct expected expected = task_expected(t);
	const struct download_of of = { t->wheel->url, t->wheel->file, &expected,
					t->refetch };
	int r = download_new(f->session->request->cache, &of, d, &t->job->err);
	if (r < 0) {
		(void)error_prefix(&t->job->err, r, "%s", t->what);
		task_end(f->session, t, r);
		return r == -ENOMEM ? r : 0;
	}
	f->items[f->count] = (struct item){ .fetch = f, .index = f->count };
	const struct download_calls calls = { on_progress, may_begin, on_waits,
					      &f->items[f->count] };
	download_set_calls(*d, &calls);
	r = session_login(f->session->request->settings, t->wheel->url,
			  t->wheel->index_url, &login->user, &login->password);
	*q = (struct http_request){ .url = t->wheel->url,
				    .user = login->user,
				    .password = login->password,
				    .sink = &download_sink,
				    .context = *d };
	f->tasks[f->count++] = t;
	return r;
}

static int fetch_all(struct fetch *f, struct error *reterr)
{
	struct session *s = f->session;
	pthread_t thread;
	int r = 0;
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		struct task *t = &s->tasks[i];
		if (!t->done && !t->missing && t->wheel && t->wheel->url &&
		    url_is_http(t->wheel->url))
			r = prepare(f, t);
	}
	if (r < 0 || f->count == 0)
		return r;
	r = -pthread_create(&thread, NULL, run, f);
	if (r < 0)
		return r;
	r = take_all(f);
	(void)pthread_join(thread, NULL);
	if (r == 0 && f->result < 0 && reterr)
		*reterr = f->err;
	return r < 0 ? r : f->result;
}

int session_fetch(struct session *s, struct error *reterr)
{
	cleanup_free struct http_request *requests =
	    calloc(s->count + 1, sizeof(*requests));
	cleanup_free struct download **downloads =
	    calloc(s->count + 1, sizeof(struct download *));
	cleanup_free struct task **tasks = calloc(s->count + 1, sizeof(struct task *));
	cleanup_free struct item *items = calloc(s->count + 1, sizeof(*items));
	cleanup_free size_t *ready = calloc(s->count + 1, sizeof(*ready));
	cleanup_free struct login *logins = calloc(s->count + 1, sizeof(*logins));
	if (!requests || !downloads || !tasks || !items || !ready || !logins)
		return -ENOMEM;
	struct fetch f = { .session = s,
			   .http = session_http(s->request->settings),
			   .requests = requests,
			   .downloads = downloads,
			   .tasks = tasks,
			   .items = items,
			   .logins = logins,
			   .ready = ready,
			   .err = ERROR_INIT };
	(void)pthread_mutex_init(&f.lock, NULL);
	(void)pthread_cond_init(&f.changed, NULL);
	int r = fetch_all(&f, reterr);
	(void)pthread_cond_destroy(&f.changed);
	(void)pthread_mutex_destroy(&f.lock);
	for (size_t i = 0; i < f.count; i++) {
		download_free(downloads[i]);
		free(logins[i].user);
		free(logins[i].password);
	}
	return r;
}
