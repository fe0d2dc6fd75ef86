#include "cache/source/source_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a wheel_job borrows, held as long as the batch. */
struct held {
	char *path, *origin, *file_name;
	struct sha256 sha256;
};

static void held_free(struct held *h)
{
	if (!h)
		return;
	free(h->path);
	free(h->origin);
	free(h->file_name);
	free(h);
}

static struct held *hold(const struct wheel_job *job)
{
	struct held *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->path = strdup(job->path);
	h->origin = job->origin ? strdup(job->origin) : NULL;
	h->file_name = job->file_name ? strdup(job->file_name) : NULL;
	if (job->expected)
		h->sha256 = *job->expected;
	if (h->path && (!job->origin || h->origin) && (!job->file_name || h->file_name))
		return h;
	held_free(h);
	return NULL;
}

static int make_room(struct batch *b)
{
	if (b->count < b->room)
		return 0;
	size_t room = b->room ? 2 * b->room : 32;
	struct wheel_job *jobs = reallocarray(b->jobs, room, sizeof(*jobs));
	if (!jobs)
		return -ENOMEM;
	b->jobs = jobs;
	struct task **tasks = reallocarray(b->tasks, room, sizeof(struct task *));
	if (!tasks)
		return -ENOMEM;
	b->tasks = tasks;
	struct held **held = reallocarray(b->held, room, sizeof(struct held *));
	if (!held)
		return -ENOMEM;
	b->held = held;
	b->room = room;
	return 0;
}

int batch_add(struct batch *b, struct task *task, const struct wheel_job *job)
{
	struct held *h = make_room(b) < 0 ? NULL : hold(job);
	if (!h)
		return -ENOMEM;
	struct wheel_job *copy = &b->jobs[b->count];
	*copy = *job;
	copy->path = h->path;
	copy->origin = h->origin;
	copy->file_name = h->file_name;
	copy->expected = job->expected ? &h->sha256 : NULL;
	b->held[b->count] = h;
	b->tasks[b->count++] = task;
	return 0;
}

static void empty(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		held_free(b->held[i]);
	b->count = 0;
}

void batch_release(struct batch *b)
{
	empty(b);
	free(b->jobs);
	free(b->tasks);
	free(b->held);
	*b = (struct batch){ .jobs = NULL };
}

/* What is fetched was named by the lock or by an index. */
static enum source_kind kind_of(const struct batch *b, const struct task *t)
{
	return b->kind == SOURCE_URL && t->wheel == &t->found ? SOURCE_INDEX : b->kind;
}

static void end_one(struct session *s, struct batch *b, size_t i)
{
	const struct wheel_job *done = &b->jobs[i];
	struct task *t = b->tasks[i];
	if (done->result < 0 && !b->is_final && done->result != -ENOSPC)
		return;
	t->job->err = done->err;
	t->job->note = done->note;
	t->job->store = done->store;
	if (done->result < 0)
		task_end(s, t, done->result);
	else
		task_found(s, t, kind_of(b, t),
			   strdup(done->origin ? done->origin : done->path));
}

void batch_run(struct session *s, struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		b->jobs[i].source = source_kind_name(kind_of(b, b->tasks[i]));
	int r = b->count == 0 ? 0
			      : wheel_add_many(s->request->cache, b->jobs, b->count,
					       s->request->options, NULL, NULL);
	for (size_t i = 0; i < b->count; i++) {
		if (r < 0)
			b->jobs[i].result =
			    error_errno(&b->jobs[i].err, r, "cannot add wheels");
		end_one(s, b, i);
	}
	empty(b);
}
