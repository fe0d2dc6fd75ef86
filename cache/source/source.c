#include "cache/source/source_private.h"

#include "cache/source/url.h"
#include "cache/store/partial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void source_job_release(struct source_job *job)
{
	free(job->place);
	free(job->file);
	partial_remove(job->held);
	job->place = NULL;
	job->file = NULL;
	job->held = NULL;
}

const char *source_kind_name(enum source_kind kind)
{
	static const char *const names[] = {
		[SOURCE_CACHE] = "cache",      [SOURCE_FILE] = "file",
		[SOURCE_LINKS] = "find-links", [SOURCE_UV] = "uv",
		[SOURCE_PIP] = "pip",          [SOURCE_URL] = "url",
		[SOURCE_INDEX] = "index",
	};
	return names[kind];
}

static void tell_progress(struct session *s)
{
	/* What is in a cache of ours does not count. */
	if (s->progress.count == 0)
		return;
	(void)pthread_mutex_lock(&s->lock);
	s->progress.done++;
	if (s->request->progress)
		s->request->progress(s->request->context, &s->progress);
	(void)pthread_mutex_unlock(&s->lock);
}

void task_end(struct session *s, struct task *t, int r)
{
	t->done = true;
	t->job->result = r;
	tell_progress(s);
}

void task_found(struct session *s, struct task *t, enum source_kind kind, char *place)
{
	t->job->kind = kind;
	free(t->job->place);
	t->job->place = place;
	t->job->err.text[0] = '\0';
	task_end(s, t, 0);
}

int fit_compare(const struct fit *a, const struct fit *b)
{
	if (a->unsure != b->unsure)
		return a->unsure ? 1 : -1;
	if (a->yanked != b->yanked)
		return a->yanked ? 1 : -1;
	if (a->has_version != b->has_version)
		return a->has_version ? -1 : 1;
	int r = a->has_version ? version_compare(&b->version, &a->version) : 0;
	return r != 0 ? r : wheel_rank_compare(&a->rank, &b->rank);
}

bool task_takes_version(const struct task *t, const char *version)
{
	const char *pin = t->dist->version;
	return pin_takes(pin, version) && (!t->dist->exact || pin_takes(version, pin));
}

bool task_takes_name(const struct session *s, const struct task *t, const char *file,
		     struct fit *ret)
{
	const struct wanted_judge *judge = s->request->judge;
	struct wheel_name name;
	*ret = (struct fit){ .yanked = false };
	if (t->wheel)
		return strcmp(file, t->wheel->file) == 0;
	if (!judge || t->dist->no_wheel || wheel_name_parse(file, &name, NULL) < 0 ||
	    !same_name(name.distribution, t->dist->name) ||
	    !task_takes_version(t, name.version))
		return false;
	ret->has_version =
	    version_parse(name.version, strlen(name.version), &ret->version);
	ret->rank = judge->rank(judge->context, file);
	return ret->rank.tags >= 0;
}

struct expected task_expected(const struct task *t)
{
	return (struct expected){ t->wheel ? &t->wheel->bytes : NULL, t->dist->hashes,
				  t->dist->hash_count };
}

/*
 * Offline a sha256 that a lock has stands for all that the lock says beside it; else what
 * nobody computed yet is reason to read the file once more.
 */
bool task_takes_sha256(const struct session *s, const struct task *t,
		       const struct sha256 *sha256)
{
	struct expected expected = task_expected(t);
	enum known known = known_judge(s->request->cache, sha256, &expected);
	return known == KNOWN_RIGHT ||
	       (known == KNOWN_NOT && s->request->settings->offline && expected.all &&
		expected.all->has_sha256);
}

/* A pin's candidates in our caches; the best one stands in the job. */
struct search {
	const struct session *session;
	struct task *task;
	struct store *store; /* that is looked into */
	struct fit fit;
	bool found;
};

/* One that was taken by --lenient-record is for nobody else. */
static bool is_allowed(const struct session *s, const struct wheel_note *note)
{
	return !note->lenient || s->request->options->lenient_record;
}

/* What differs is said, unless a file that is right is found elsewhere. */
static bool takes_note(const struct session *s, struct task *t,
		       const struct wheel_note *note)
{
	int64_t size = t->wheel ? t->wheel->bytes.size : -1;
	if (!is_allowed(s, note)) {
		t->lost = error_set(&t->job->err, -EBADMSG,
				    "%s: its RECORD lists more or less than there is; "
				    "--lenient-record takes it",
				    t->what);
		return false;
	}
	if (!task_takes_sha256(s, t, &note->sha256)) {
		if (t->wheel && t->wheel->bytes.has_sha256)
			t->lost = error_set(&t->job->err, -EBADMSG,
					    "%s: the file of that sha256 has other "
					    "hashes than those expected",
					    t->what);
		return false;
	}
	if (size < 0 || note->size == 0 || note->size == (uint64_t)size)
		return true;
	t->lost =
	    error_set(&t->job->err, -EBADMSG, "%s: it has %llu bytes, expected were %lld",
		      t->what, (unsigned long long)note->size, (long long)size);
	return false;
}

static int consider_note(void *context, const struct wheel_note *note)
{
	struct search *search = context;
	struct fit fit;
	/* What was built of a directory is of that directory, not of any index. */
	if (wheel_name_is_local(note->file_name))
		return 0;
	if (!takes_note(search->session, search->task, note))
		return 0;
	if (task_takes_name(search->session, search->task, note->file_name, &fit) &&
	    (!search->found || fit_compare(&fit, &search->fit) < 0)) {
		search->task->job->note = *note;
		search->task->job->store = search->store;
		search->fit = fit;
		search->found = true;
	}
	return 0;
}

/* Those of any of the task's sha256; true when a hash of another algorithm may name
 * more. */
static bool search_by_hash(struct search *search)
{
	struct cache *cache = search->session->request->cache;
	const struct wanted_dist *dist = search->task->dist;
	bool more = false;
	for (size_t i = 0; i < dist->hash_count; i++) {
		struct wheel_note note;
		more = more || !dist->hashes[i].has_sha256;
		if (dist->hashes[i].has_sha256 &&
		    cache_find_wheel(cache, &dist->hashes[i].sha256, &search->store,
				     &note) == 0)
			(void)consider_note(search, &note);
	}
	return more;
}

static bool find_pinned(const struct session *s, struct task *t)
{
	struct search search = { .session = s, .task = t };
	struct cache *cache = s->request->cache;
	bool more = search_by_hash(&search);
	/* Without a hash the indexes say which file is meant, as long as they can be
	 * asked. */
	bool by_name = t->dist->hash_count == 0 ? s->request->settings->offline : more;
	for (size_t i = 0; by_name && i < cache_count(cache); i++) {
		search.store = cache_store(cache, i);
		(void)store_each_wheel(search.store, consider_note, &search);
	}
	return search.found;
}

static bool find_wheel(struct session *s, struct task *t)
{
	const struct wanted_bytes *bytes = &t->wheel->bytes;
	struct search search = { .session = s, .task = t };
	struct wheel_note note;
	if (!bytes->has_sha256) {
		(void)search_by_hash(&search);
		return search.found;
	}
	if (cache_find_wheel(s->request->cache, &bytes->sha256, &search.store, &note) < 0)
		return false;
	t->refetch = !takes_note(s, t, &note);
	/* Another file of that sha256 is no other. */
	if (!is_allowed(s, &note))
		task_end(s, t, t->lost);
	t->job->store = search.store;
	t->job->note = note;
	return !t->refetch;
}

bool task_find_in_caches(struct session *s, struct task *t)
{
	bool found = t->is_sdist ? false
		     : t->wheel  ? find_wheel(s, t)
				 : !t->dist->no_wheel && find_pinned(s, t);
	if (t->done)
		return true;
	if (found)
		task_found(s, t, SOURCE_CACHE, NULL);
	bool may_be_built = t->is_sdist || !t->wheel;
	return found || (may_be_built && task_find_built(s, t));
}

static int begin_task(struct task *t, struct source_job *job)
{
	const struct wanted_dist *dist = job->wanted;
	*t = (struct task){ .job = job, .dist = dist };
	t->wheel = dist->wheel_count > 0 ? &dist->wheels[0] : NULL;
	if (asprintf(&t->what, "%s%s%s", dist->name, dist->version ? " " : "",
		     dist->version ? dist->version : "") < 0) {
		t->what = NULL;
		return -ENOMEM;
	}
	if (dist->source && dist->source->kind == WANTED_SDIST)
		return task_begin_sdist(t);
	if (!t->wheel && (!dist->pinned || !dist->version))
		return error_set(&job->err, -EINVAL, "%s has no wheel", t->what);
	return 0;
}

static void end_unfound(struct session *s, struct task *t)
{
	struct source_job *job = t->job;
	if (t->lost < 0) {
		task_end(s, t, t->lost);
		return;
	}
	(void)error_set(&job->err, -ENOENT, "%s is %s", t->what,
			s->request->settings->offline
			    ? "in no cache here, and nothing is fetched offline"
			    : "nowhere to be found");
	task_end(s, t, -ENOENT);
}

/* What is missing at the lock's URL may be in an index: one more round for those. */
static int ask_and_fetch(struct session *s, struct error *reterr)
{
	int r = session_ask_indexes(s, reterr);
	bool missing = false;
	if (r == 0)
		r = session_fetch(s, reterr);
	for (size_t i = 0; i < s->count; i++)
		missing = missing || (!s->tasks[i].done && s->tasks[i].missing);
	if (r < 0 || !missing)
		return r;
	r = session_ask_indexes(s, reterr);
	return r < 0 ? r : session_fetch(s, reterr);
}

static bool promote_sdists(struct session *s)
{
	bool any = false;
	for (size_t i = 0; i < s->count; i++)
		any = task_promote_sdist(s, &s->tasks[i]) || any;
	return any;
}

static int work(struct session *s, struct error *reterr)
{
	int r = session_find_local(s);
	if (r == 0 && !s->request->settings->offline)
		r = ask_and_fetch(s, reterr);
	else if (r == 0 && promote_sdists(s))
		r = session_find_local(s);
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		if (!s->tasks[i].done)
			end_unfound(s, &s->tasks[i]);
	}
	return r;
}

static void release_task(struct task *t)
{
	free(t->what);
	wanted_wheel_release(&t->found);
	wanted_wheel_release(&t->sdist);
}

int source_get_many(const struct source_request *request, struct source_job *jobs,
		    size_t count, struct error *reterr)
{
	cleanup_free struct task *tasks = calloc(count + 1, sizeof(*tasks));
	struct session s = { .request = request, .tasks = tasks };
	int r = tasks ? 0 : -ENOMEM;
	(void)pthread_mutex_init(&s.lock, NULL);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct task *t = &tasks[s.count];
		jobs[i].result = begin_task(t, &jobs[i]);
		if (jobs[i].result == -ENOMEM)
			r = -ENOMEM;
		if (jobs[i].result < 0 || task_find_in_caches(&s, t))
			release_task(t);
		else
			s.count++;
	}
	s.progress = (struct source_progress){ .count = s.count };
	if (r == 0 && s.count > 0)
		r = work(&s, reterr);
	(void)pthread_mutex_destroy(&s.lock);
	for (size_t i = 0; i < s.count; i++)
		release_task(&tasks[i]);
	return r;
}
