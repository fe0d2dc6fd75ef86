/*
 * Which file is meant? Pages of links and indexes are asked one after the other, each for
 * all that is still to be found at once.
 *
 * A pin with hashes may come from any index: the hash says that it is the right file.
 * Without one the first index that has the project decides (uv's rule): else whoever
 * registers the name of a private package in a public index could have it installed.
 * Where only pip is set, the best file of all indexes is taken (pip's rule).
 */
#include "cache/source/source_private.h"

#include "cache/source/page.h"
#include "cache/source/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How near it came; the greatest is said. */
enum miss { MISS_PROJECT, MISS_VERSION, MISS_WHEEL, MISS_FIT, MISS_HASH };

struct place {
	const char *url;
	const struct source_index *index; /* or NULL: one that only a lock named */
	bool is_flat;                     /* one page for all */
};

/* One place being asked. */
struct ask {
	struct session *session;
	struct place place;
	size_t count; /* of requests; tasks[i] asks by requests[i], or all by the first */
	struct http_request *requests;
	struct page *pages;
	char **urls;
	struct task **tasks;
	char *user, *password;
};

static bool is_open(const struct task *t)
{
	return !t->done && !t->stopped && (!t->wheel || t->missing || t->choosing);
}

static bool is_asked(const struct place *place, const struct task *t)
{
	bool named = t->wheel && t->wheel->index_url &&
		     url_same_place(t->wheel->index_url, place->url);
	if (!place->index && !place->is_flat)
		return named;
	return place->is_flat || !place->index->explicit_only || named;
}

/* By a lock, so that it is certain which file is meant? Else it is a pin's. */
static bool is_certain(const struct task *t)
{
	return t->wheel && t->wheel != &t->found;
}

static bool has_hashes(const struct task *t)
{
	return t->missing || t->dist->hash_count > 0;
}

/* -- choosing ------------------------------------------------------------------------ */

/* 1 or 0; -1: they have no algorithm in common. */
static int same_hash(const struct wanted_bytes *a, const struct wanted_bytes *b)
{
	if (a->has_sha256 && b->has_sha256)
		return memcmp(&a->sha256, &b->sha256, sizeof(a->sha256)) == 0;
	for (size_t i = 0; i < a->other_count; i++) {
		for (size_t k = 0; k < b->other_count; k++) {
			if (strcmp(a->others[i].algorithm, b->others[k].algorithm) == 0)
				return strcmp(a->others[i].hex, b->others[k].hex) == 0;
		}
	}
	return -1;
}

/* Of what an index says of a file. A pin's hash of an algorithm that it does not name may
 * be the file's: that is known when it came. */
static bool takes_bytes(const struct task *t, const struct wanted_bytes *bytes,
			bool *ret_unsure)
{
	bool any = bytes->has_sha256 || bytes->other_count > 0;
	*ret_unsure = false;
	if (is_certain(t))
		return !any || same_hash(&t->wheel->bytes, bytes) == 1;
	for (size_t i = 0; i < t->dist->hash_count; i++) {
		int same = same_hash(&t->dist->hashes[i], bytes);
		if (same == 1) {
			*ret_unsure = false;
			return true;
		}
		*ret_unsure = *ret_unsure || same < 0;
	}
	return t->dist->hash_count == 0 || *ret_unsure;
}

/* False: not this one; *ret_miss says how near it came. */
static bool judge_file(const struct session *s, const struct task *t,
		       const struct simple_file *f, struct fit *ret, enum miss *ret_miss)
{
	const struct wanted_judge *judge = s->request->judge;
	struct wheel_name name;
	*ret_miss = MISS_VERSION;
	*ret = (struct fit){ .yanked = f->yanked };
	if (is_certain(t))
		return strcmp(f->name, t->wheel->file) == 0 &&
		       takes_bytes(t, &f->bytes, &ret->unsure);
	if (wheel_name_parse(f->name, &name, NULL) < 0) {
		/* "demo-1.0.tar.gz" */
		size_t size = strlen(t->dist->version);
		const char *at = strstr(f->name, t->dist->version);
		if (at && at > f->name && at[-1] == '-' && at[size] == '.')
			*ret_miss = MISS_WHEEL;
		return false;
	}
	if (t->dist->no_wheel || !same_name(name.distribution, t->dist->name) ||
	    !task_takes_version(t, name.version))
		return false;
	*ret_miss = MISS_FIT;
	if (f->requires_python && !judge->python_fits(judge->context, f->requires_python))
		return false;
	ret->has_version =
	    version_parse(name.version, strlen(name.version), &ret->version);
	ret->rank = judge->rank(judge->context, f->name);
	if (ret->rank.tags < 0)
		return false;
	*ret_miss = MISS_HASH;
	return takes_bytes(t, &f->bytes, &ret->unsure);
}

/* One that was yanked is taken only when there is no other: the pin names its version. */
static const struct simple_file *choose(const struct session *s, struct task *t,
					const struct simple_page *page,
					struct fit *ret_fit)
{
	const struct simple_file *best = NULL;
	for (size_t i = 0; i < page->count; i++) {
		const struct simple_file *f = &page->files[i];
		struct fit fit;
		enum miss miss;
		if (!judge_file(s, t, f, &fit, &miss)) {
			t->miss = (int)miss > t->miss ? (int)miss : t->miss;
			continue;
		}
		if (!best || fit_compare(&fit, ret_fit) < 0) {
			best = f;
			*ret_fit = fit;
		}
	}
	return best;
}

/* In case that no index has a wheel. */
static const struct simple_file *choose_sdist(const struct session *s,
					      const struct task *t,
					      const struct simple_page *page)
{
	const struct wanted_judge *judge = s->request->judge;
	const struct simple_file *best = NULL;
	for (size_t i = 0; !t->wheel && !t->dist->no_sdist && i < page->count; i++) {
		const struct simple_file *f = &page->files[i];
		bool unsure;
		if (!sdist_name_fits(f->name, t->dist->name, t->dist->version) ||
		    (f->requires_python &&
		     !judge->python_fits(judge->context, f->requires_python)) ||
		    !takes_bytes(t, &f->bytes, &unsure))
			continue;
		if (!best || (best->yanked && !f->yanked))
			best = f;
	}
	return best;
}

/* What the lock says of the bytes stands over what an index says of them. */
static int copy_file(struct task *t, const struct place *place, const struct page *page,
		     const char *base, const struct simple_file *f,
		     struct wanted_wheel *ret)
{
	struct wanted_wheel found = { .file = strdup(f->name),
				      .index_url = strdup(place->url) };
	char *absolute_base = NULL;
	int r =
	    wanted_bytes_copy(&found.bytes, is_certain(t) ? &t->wheel->bytes : &f->bytes);
	if (r == 0 && base)
		r = http_resolve(page->url, base, &absolute_base, &t->job->err);
	if (r == 0)
		r = http_resolve(absolute_base ? absolute_base : page->url, f->url,
				 &found.url, &t->job->err);
	free(absolute_base);
	if (r == 0 && !(found.file && found.index_url))
		r = -ENOMEM;
	if (r < 0) {
		wanted_wheel_release(&found);
		return r;
	}
	wanted_wheel_release(ret);
	*ret = found;
	return 0;
}

static int take_file(struct task *t, const struct place *place, const struct page *page,
		     const char *base, const struct simple_file *f)
{
	int r = copy_file(t, place, page, base, f, &t->found);
	if (r < 0)
		return r;
	t->wheel = &t->found;
	t->missing = false;
	t->lost = 0;
	return 0;
}

/* -- asking ---------------------------------------------------------------------------
 */

/* An index that failed: may another one be asked? */
static void lose(const struct ask *a, struct task *t, int r, const struct error *err)
{
	/* Where the lock's URL is said to have failed already, that is what counts. */
	if (t->missing || t->choosing)
		return;
	if (r == -ENOENT) /* it does not have the project */
		return;
	if (t->lost == 0) {
		t->lost = r;
		t->job->err = *err;
	}
	if (!has_hashes(t) && !a->session->request->settings->any_index)
		t->stopped = true;
}

static bool has_project(const struct simple_page *page, const struct task *t)
{
	for (size_t i = 0; i < page->count; i++) {
		struct wheel_name name;
		if (wheel_name_parse(page->files[i].name, &name, NULL) == 0 &&
		    same_name(name.distribution, t->dist->name))
			return true;
	}
	return false;
}

/* Ends the task when what the index says is no URL. */
static int take_chosen(const struct ask *a, struct task *t, const struct page *page,
		       const char *base, const struct simple_file *f,
		       const struct fit *fit)
{
	struct session *s = a->session;
	int r = take_file(t, &a->place, page, base, f);
	if (r == -EBADMSG) {
		(void)error_prefix(&t->job->err, r, "%s", t->what);
		task_end(s, t, r);
		return 0;
	}
	t->fit = *fit;
	t->choosing = t->dist->wheel_count == 0 && s->request->settings->any_index;
	return r;
}

static int look_into(struct ask *a, struct task *t, const struct page *page,
		     const struct simple_page *parsed)
{
	struct session *s = a->session;
	struct fit fit;
	const struct simple_file *f = choose(s, t, parsed, &fit);
	if (f && t->choosing && fit_compare(&t->fit, &fit) <= 0)
		return 0;
	if (f)
		return take_chosen(a, t, page, parsed->base, f, &fit);
	const struct simple_file *sdist =
	    t->sdist.file ? NULL : choose_sdist(s, t, parsed);
	/* What cannot be fetched is as good as not there. */
	if (sdist &&
	    copy_file(t, &a->place, page, parsed->base, sdist, &t->sdist) == -ENOMEM)
		return -ENOMEM;
	bool decides = !a->place.is_flat || has_project(parsed, t);
	if (t->miss == MISS_PROJECT && decides)
		t->miss = MISS_VERSION;
	if (!has_hashes(t) && !s->request->settings->any_index && decides)
		t->stopped = true;
	return 0;
}

static int take_answer(struct ask *a, size_t i)
{
	struct http_request *q = &a->requests[i];
	CLEANUP(simple_page_release) struct simple_page parsed = { .files = NULL };
	struct error err = q->err;
	int result = q->result;
	if (result == 0) {
		result = page_parse(&a->pages[i], &parsed, &err);
		if (result < 0) {
			cleanup_free char *shown = url_shown(q->url);
			(void)error_prefix(&err, result, "%s", shown ? shown : "");
		}
	}
	int r = 0;
	for (size_t k = 0; r == 0 && a->tasks[k]; k++) {
		struct task *t = a->tasks[k];
		if (!a->place.is_flat && k != i)
			continue;
		if (result < 0)
			lose(a, t, result, &err);
		else
			r = look_into(a, t, &a->pages[i], &parsed);
	}
	return r;
}

static char *project_url(const struct place *place, const char *name)
{
	char *url = NULL;
	size_t size = strlen(place->url);
	if (place->is_flat)
		return strdup(place->url);
	while (size > 0 && place->url[size - 1] == '/')
		size--;
	return asprintf(&url, "%.*s/%s/", (int)size, place->url, name) < 0 ? NULL : url;
}

static int prepare(struct ask *a)
{
	struct session *s = a->session;
	size_t tasks = 0;
	for (size_t i = 0; i < s->count; i++) {
		struct task *t = &s->tasks[i];
		if (!is_open(t) || !is_asked(&a->place, t))
			continue;
		a->tasks[tasks++] = t;
		if (a->place.is_flat && a->count == 1)
			continue;
		char *url = project_url(&a->place, t->dist->name);
		if (!url)
			return -ENOMEM;
		a->urls[a->count] = url;
		a->requests[a->count] =
		    (struct http_request){ .url = url,
					   .user = a->user,
					   .password = a->password,
					   .accept = page_accept,
					   .compressed = true,
					   .sink = &page_sink,
					   .context = &a->pages[a->count] };
		a->count++;
	}
	return 0;
}

static int ask(struct ask *a, struct error *reterr)
{
	const struct source_settings *settings = a->session->request->settings;
	struct http_settings http = session_http(settings);
	int r =
	    session_login(settings, a->place.url, a->place.url, &a->user, &a->password);
	if (r == 0)
		r = prepare(a);
	if (r == 0 && a->count > 0)
		r = http_run(&http, a->requests, a->count, NULL, NULL, reterr);
	for (size_t i = 0; r == 0 && i < a->count; i++)
		r = take_answer(a, i);
	return r;
}

static int ask_place(struct session *s, const struct place *place, struct error *reterr)
{
	cleanup_free struct http_request *requests =
	    calloc(s->count + 1, sizeof(*requests));
	cleanup_free struct page *pages = calloc(s->count + 1, sizeof(*pages));
	cleanup_free char **urls = calloc(s->count + 1, sizeof(*urls));
	cleanup_free struct task **tasks = calloc(s->count + 1, sizeof(struct task *));
	if (!requests || !pages || !urls || !tasks)
		return -ENOMEM;
	struct ask a = { .session = s,
			 .place = *place,
			 .requests = requests,
			 .pages = pages,
			 .urls = urls,
			 .tasks = tasks };
	int r = ask(&a, reterr);
	for (size_t i = 0; i < a.count; i++) {
		page_release(&pages[i]);
		free(urls[i]);
	}
	free(a.user);
	free(a.password);
	return r;
}

static bool is_known_index(const struct source_settings *settings, const char *url)
{
	for (size_t i = 0; i < settings->index_count; i++) {
		if (url_same_place(settings->indexes[i].url, url))
			return true;
	}
	return false;
}

/* Indexes that only the lock names, for what is missing at its URL there. */
static int ask_lock_indexes(struct session *s, struct error *reterr)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		const struct task *t = &s->tasks[i];
		const char *url = t->wheel ? t->wheel->index_url : NULL;
		struct place place = { .url = url };
		if (is_open(t) && is_certain(t) && url && url_is_http(url) &&
		    !is_known_index(s->request->settings, url))
			r = ask_place(s, &place, reterr);
	}
	return r;
}

static void say_miss(const struct session *s, struct task *t)
{
	static const char *const words[] = {
		[MISS_PROJECT] = "no index that was asked has the project",
		[MISS_VERSION] = "the index has the project, but not this version",
		[MISS_WHEEL] =
		    "the index has only sources of this version; build a wheel: pip wheel",
		[MISS_FIT] = "no wheel of this version fits the interpreter",
		[MISS_HASH] = "no wheel of this version that fits has one of the hashes",
	};
	const struct source_settings *settings = s->request->settings;
	bool none = settings->index_count == 0;
	for (size_t i = 0; i < settings->find_count; i++)
		none = none && !url_is_http(settings->find_links[i]);
	t->lost = -ENOENT;
	(void)error_set(&t->job->err, -ENOENT, "%s: %s", t->what,
			none ? "no index is set to look for it in (--index-url, "
			       "UV_DEFAULT_INDEX, PIP_INDEX_URL, uv.toml or pip.conf)"
			     : words[t->miss]);
}

/* All were asked: is it known now which file is meant, and is it in no cache of ours? */
static bool end_choice(struct session *s, struct task *t)
{
	bool found = task_promote_sdist(s, t);
	t->choosing = false;
	if (!t->done && t->wheel == &t->found)
		found = !task_find_in_caches(s, t);
	if (!t->done && !t->wheel && t->lost == 0)
		say_miss(s, t);
	return found;
}

int session_ask_indexes(struct session *s, struct error *reterr)
{
	const struct source_settings *settings = s->request->settings;
	bool any = false;
	int r = 0;
	for (size_t i = 0; i < s->count; i++)
		any = any || is_open(&s->tasks[i]);
	if (!any)
		return 0;
	for (size_t i = 0; r == 0 && i < settings->find_count; i++) {
		struct place place = { .url = settings->find_links[i], .is_flat = true };
		if (url_is_http(place.url))
			r = ask_place(s, &place, reterr);
	}
	for (size_t i = 0; r == 0 && i < settings->index_count; i++) {
		struct place place = { .url = settings->indexes[i].url,
				       .index = &settings->indexes[i] };
		r = ask_place(s, &place, reterr);
	}
	if (r == 0)
		r = ask_lock_indexes(s, reterr);
	bool found = false;
	for (size_t i = 0; i < s->count; i++)
		found = end_choice(s, &s->tasks[i]) || found;
	/* Now that it is known which file is meant, it may be on this machine. */
	return r == 0 && found ? session_find_local(s) : r;
}
