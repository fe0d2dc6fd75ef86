#include "cache/source/source_private.h"

#include "cache/source/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void source_job_release(struct source_job *job)
{
	free(job->place);
	job->place = NULL;
}

static void tell_progress(struct session *s, bool ended)
{
	(void)pthread_mutex_lock(&s->lock);
	s->progress.done += ended;
	if (s->request->progress)
		s->request->progress(s->request->context, &s->progress);
	(void)pthread_mutex_unlock(&s->lock);
}

void task_end(struct session *s, struct task *t, int r)
{
	t->done = true;
	t->job->result = r;
	tell_progress(s, true);
}

void task_found(struct session *s, struct task *t, enum source_kind kind, char *place)
{
	t->job->kind = kind;
	free(t->job->place);
	t->job->place = place;
	task_end(s, t, 0);
}

void session_add(struct session *s, struct task **tasks, struct wheel_job *jobs,
		 size_t count, enum source_kind kind)
{
	int r = wheel_add_many(s->request->cache, jobs, count, s->request->options, NULL,
			       NULL);
	for (size_t i = 0; i < count; i++) {
		struct source_job *job = tasks[i]->job;
		if (r < 0)
			jobs[i].result =
			    error_errno(&jobs[i].err, r, "cannot add wheels");
		job->err = jobs[i].err;
		job->note = jobs[i].note;
		job->store = jobs[i].store;
		if (jobs[i].result < 0)
			task_end(s, tasks[i], jobs[i].result);
		else
			task_found(
			    s, tasks[i], kind,
			    strdup(jobs[i].origin ? jobs[i].origin : jobs[i].path));
	}
}

/* Is it in a cache of ours? */
static bool find_in_caches(const struct source_request *q, struct source_job *job,
			   const struct wanted_wheel *wheel)
{
	const struct wanted_bytes *bytes = &wheel->bytes;
	if (!bytes->has_sha256 ||
	    cache_find_wheel(q->cache, &bytes->sha256, &job->store, &job->note) < 0)
		return false;
	job->kind = SOURCE_CACHE;
	return true;
}

static int begin_task(struct task *t, struct source_job *job)
{
	const struct wanted_dist *dist = job->wanted;
	t->job = job;
	t->wheel = dist->wheel_count > 0 ? &dist->wheels[0] : NULL;
	if (!t->wheel && !dist->pinned)
		return error_set(&job->err, -EINVAL, "%s has no wheel", dist->name);
	return asprintf(&t->what, "%s%s%s", dist->name, dist->version ? " " : "",
			dist->version ? dist->version : "") < 0
		   ? -ENOMEM
		   : 0;
}

static const char *path_of(const struct task *t, char **ret_held)
{
	if (!t->wheel || t->wheel->path)
		return t->wheel ? t->wheel->path : NULL;
	*ret_held = t->wheel->url ? url_file_path(t->wheel->url) : NULL;
	return *ret_held;
}

/* The files that locks name by their paths. */
static int add_paths(struct session *s)
{
	cleanup_free struct wheel_job *jobs = calloc(s->count + 1, sizeof(*jobs));
	cleanup_free struct task **tasks = calloc(s->count + 1, sizeof(struct task *));
	cleanup_free char **held = calloc(s->count + 1, sizeof(*held));
	size_t count = 0;
	if (!jobs || !tasks || !held)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++) {
		struct task *t = &s->tasks[i];
		const char *path = t->done ? NULL : path_of(t, &held[count]);
		if (!path)
			continue;
		jobs[count].path = path;
		if (t->wheel->bytes.has_sha256)
			jobs[count].expected = &t->wheel->bytes.sha256;
		tasks[count++] = t;
	}
	if (count > 0)
		session_add(s, tasks, jobs, count, SOURCE_FILE);
	for (size_t i = 0; i < count; i++)
		free(held[i]);
	return 0;
}

static int work(struct session *s, struct error *reterr)
{
	int r = add_paths(s);
	if (r == 0 && !s->request->settings->offline)
		r = session_fetch(s, reterr);
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		struct task *t = &s->tasks[i];
		if (t->done)
			continue;
		if (s->request->settings->offline)
			(void)error_set(
			    &t->job->err, -ENOENT,
			    "%s is in no cache here, and nothing is fetched offline",
			    t->what);
		else
			(void)error_set(&t->job->err, -ENOENT,
					"%s is nowhere to be found", t->what);
		task_end(s, t, -ENOENT);
	}
	return r;
}

int source_get_many(const struct source_request *request, struct source_job *jobs,
		    size_t count, struct error *reterr)
{
	cleanup_free struct task *tasks = calloc(count + 1, sizeof(*tasks));
	struct session s = { .request = request, .tasks = tasks };
	int r = 0;
	if (!tasks)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct source_job *job = &jobs[i];
		struct task *t = &tasks[s.count];
		job->result = begin_task(t, job);
		if (job->result == -ENOMEM)
			r = -ENOMEM;
		if (job->result < 0 ||
		    (t->wheel && find_in_caches(request, job, t->wheel)))
			free(steal_ptr(t->what));
		else
			s.count++;
	}
	s.progress.count = s.count;
	(void)pthread_mutex_init(&s.lock, NULL);
	if (r == 0 && s.count > 0)
		r = work(&s, reterr);
	(void)pthread_mutex_destroy(&s.lock);
	for (size_t i = 0; i < s.count; i++)
		free(tasks[i].what);
	return r;
}
