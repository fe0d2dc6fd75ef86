/*
 * What is on this machine: files that locks name, folders of --find-links, uv's cache and
 * pip's.
 */
#include "cache/source/source_private.h"

#include "cache/base/file.h"
#include "cache/source/check.h"
#include "cache/source/pip_entry.h"
#include "cache/source/url.h"
#include "cache/source/uv_cache.h"
#include "cache/store/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct sha256 *sha256_of_wheel(const struct task *t)
{
	return t->wheel && t->wheel->bytes.has_sha256 ? &t->wheel->bytes.sha256 : NULL;
}

/* -- files that locks name -------------------------------------------------------------
 */

/* All that a lock says of a file but its sha256, which whoever adds it looks at. */
static bool says_more(const struct task *t)
{
	return t->wheel->bytes.size >= 0 || t->wheel->bytes.other_count > 0 ||
	       t->dist->hash_count > 0;
}

/* 1: *ret is its sha256. 0 for what cannot be read, too: whoever adds it says so. */
static int check_path(const struct session *s, const struct task *t, const char *path,
		      struct sha256 *ret, struct error *reterr)
{
	CLEANUP(check_freep) struct check *check = NULL;
	struct stat st;
	struct expected expected = task_expected(t);
	const struct wanted_bytes *bytes = &t->wheel->bytes;
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (bytes->size >= 0 && bytes->size != st.st_size)
		return error_set(reterr, -EBADMSG,
				 "'%s': it has %lld bytes, expected were %lld", path,
				 (long long)st.st_size, (long long)bytes->size);
	if (bytes->other_count == 0 && expected.any_count == 0)
		return 0;
	int r = check_new(&expected, &check, reterr);
	if (r == 0)
		r = check_add_file(check, fd, 0, (uint64_t)st.st_size);
	if (r == 0)
		r = check_end(check, ret, reterr);
	if (r == 0)
		known_note(s->request->cache, ret, check);
	return r < 0 ? error_prefix(reterr, r, "'%s'", path) : 1;
}

static int add_path(struct session *s, struct batch *b, struct task *t)
{
	cleanup_free char *named = NULL;
	if (t->done || !t->wheel)
		return 0;
	if (!t->wheel->path && t->wheel->url)
		named = url_file_path(t->wheel->url);
	const char *path = t->wheel->path ? t->wheel->path : named;
	if (t->is_sdist)
		return path ? task_take_local_sdist(s, t, path, SOURCE_FILE) : 0;
	struct wheel_job job = { .path = path, .expected = sha256_of_wheel(t) };
	struct sha256 sha256;
	int r = path && says_more(t) ? check_path(s, t, path, &sha256, &t->job->err) : 0;
	if (r < 0) {
		task_end(s, t, r);
		return r == -ENOMEM ? r : 0;
	}
	if (r > 0)
		job.expected = &sha256;
	return path ? batch_add(b, t, &job) : 0;
}

/* -- folders of --find-links ------------------------------------------------------------
 */

/* The best file of a folder for a task. */
struct best {
	char *path;
	struct fit fit;
	struct sha256 sha256;
};

/* Hashes are compared before the file is taken, as it is no error when they differ. */
static bool has_right_bytes(const struct session *s, const struct task *t,
			    const char *path, struct sha256 *ret)
{
	CLEANUP(check_freep) struct check *check = NULL;
	struct stat st;
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	const struct wanted_bytes *bytes = t->wheel ? &t->wheel->bytes : NULL;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (bytes && bytes->size >= 0 && bytes->size != st.st_size))
		return false;
	struct expected expected = task_expected(t);
	if (cache_find_seen(s->request->cache, &st, ret) == 0) {
		enum known known = known_judge(s->request->cache, ret, &expected);
		if (known != KNOWN_NOT)
			return known == KNOWN_RIGHT;
	}
	if (check_new(&expected, &check, NULL) < 0 ||
	    check_add_file(check, fd, 0, (uint64_t)st.st_size) < 0 ||
	    check_end(check, ret, NULL) < 0)
		return false;
	known_note(s->request->cache, ret, check);
	return true;
}

/* In case that no wheel is found. */
static bool may_keep_sdist(const struct task *t, const char *name)
{
	return !t->wheel && !t->sdist.file && !t->dist->no_sdist &&
	       sdist_name_fits(name, t->dist->name, t->dist->version);
}

static int consider_file(const struct session *s, struct task *t, const char *folder,
			 const char *name, struct best *best)
{
	struct sha256 sha256;
	struct fit fit;
	cleanup_free char *path = path_join(folder, name);
	if (!path)
		return -ENOMEM;
	if (may_keep_sdist(t, name) && has_right_bytes(s, t, path, &sha256)) {
		t->sdist.file = strdup(name);
		t->sdist.path = steal_ptr(path);
		t->sdist.bytes.size = -1; /* it is the right one, so much is known */
		return t->sdist.file ? 0 : -ENOMEM;
	}
	if (!task_takes_name(s, t, name, &fit) ||
	    (best->path && fit_compare(&best->fit, &fit) <= 0))
		return 0;
	if (!has_right_bytes(s, t, path, &sha256))
		return 0;
	free(best->path);
	*best = (struct best){ steal_ptr(path), fit, sha256 };
	return 0;
}

static int add_from_folder(struct session *s, struct batch *b, struct task *t,
			   const char *folder)
{
	struct best best = { .path = NULL };
	cleanup_fd int fd = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	int r = 0;
	while (r == 0 && dir && (entry = readdir(dir)) != NULL)
		r = consider_file(s, t, folder, entry->d_name, &best);
	struct wheel_job job = { .path = best.path, .expected = &best.sha256 };
	if (r == 0 && best.path)
		r = t->is_sdist ? task_take_local_sdist(s, t, best.path, SOURCE_FILE)
				: batch_add(b, t, &job);
	free(best.path);
	return r;
}

static int add_found_links(struct session *s, struct batch *b)
{
	const struct source_settings *settings = s->request->settings;
	int r = 0;
	for (size_t i = 0; r == 0 && i < settings->find_count; i++) {
		if (url_is_http(settings->find_links[i]))
			continue;
		for (size_t k = 0; r == 0 && k < s->count; k++) {
			if (!s->tasks[k].done)
				r = add_from_folder(s, b, &s->tasks[k],
						    settings->find_links[i]);
		}
		if (r == 0)
			batch_run(s, b);
	}
	return r;
}

/* -- uv's cache ---------------------------------------------------------------------- */

struct uv_search {
	const struct session *session;
	const struct task *task;
	struct uv_pointer best;
	struct fit fit;
	char *folder; /* of the best; NULL: none yet */
};

static int visit_uv(void *context, const struct uv_pointer *pointer, const char *folder)
{
	struct uv_search *search = context;
	struct fit fit = { .yanked = false };
	if (!pointer->has_sha256 ||
	    !task_takes_sha256(search->session, search->task, &pointer->sha256))
		return 0;
	int64_t size = search->task->wheel ? search->task->wheel->bytes.size : -1;
	if (size >= 0 && pointer->size > 0 && (uint64_t)size != pointer->size)
		return 0;
	/* uv writes names in a form of its own: of a certain file the hash suffices. */
	if (!search->task->wheel &&
	    !task_takes_name(search->session, search->task, pointer->file_name, &fit))
		return 0;
	if (search->folder && fit_compare(&search->fit, &fit) <= 0)
		return 0;
	free(search->folder);
	search->folder = strdup(folder);
	search->best = *pointer;
	search->fit = fit;
	return search->folder ? 0 : -ENOMEM;
}

/* A pin without a hash is for the indexes to answer, as long as they can be asked: what
 * caches have of that version may be of another origin. */
static bool may_take_from_caches(const struct session *s, const struct task *t)
{
	return sha256_of_wheel(t) || (!t->wheel && t->dist->hash_count > 0) ||
	       (!t->wheel && s->request->settings->offline);
}

static int add_from_uv(struct session *s, struct uv_cache *uv, struct batch *b,
		       struct task *t)
{
	struct uv_search search = { .session = s, .task = t };
	if (t->done || t->is_sdist || t->dist->no_wheel || !may_take_from_caches(s, t))
		return 0;
	int r = uv_cache_each(uv, t->dist->name, visit_uv, &search);
	struct wheel_job job = { .path = search.folder,
				 .file_name =
				     t->wheel ? t->wheel->file : search.best.file_name,
				 .is_unpacked = true,
				 .size = search.best.size,
				 .expected = &search.best.sha256 };
	if (t->wheel && t->wheel->bytes.size >= 0)
		job.size = (uint64_t)t->wheel->bytes.size;
	if (r == 0 && search.folder)
		r = batch_add(b, t, &job);
	free(search.folder);
	return r;
}

static int add_all_from_uv(struct session *s, struct batch *b)
{
	CLEANUP(uv_cache_freep) struct uv_cache *uv = NULL;
	const char *folder = s->request->settings->uv_cache;
	int r = folder ? uv_cache_open(folder, &uv) : -ENOENT;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; r == 0 && i < s->count; i++)
		r = add_from_uv(s, uv, b, &s->tasks[i]);
	if (r == 0)
		batch_run(s, b); /* while uv's lock is held */
	return r;
}

/* -- pip's cache --------------------------------------------------------------------- */

/* Since pip 23.3 the body is the file, under a name of pip's own. */
static int add_body(struct session *s, struct batch *b, struct task *t)
{
	cleanup_free char *entry = pip_entry_path("http-v2", t->wheel->url);
	cleanup_free char *path = NULL;
	struct sha256 sha256;
	if (!entry ||
	    asprintf(&path, "%s/%s.body", s->request->settings->pip_cache, entry) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (!has_right_bytes(s, t, path, &sha256))
		return 0;
	struct wheel_job job = { .path = path,
				 .file_name = t->wheel->file,
				 .expected = &sha256 };
	return batch_add(b, t, &job);
}

static int copy_body(int from, uint64_t offset, uint64_t size, int to)
{
	enum { PART = 256 << 10 };
	cleanup_free uint8_t *bytes = malloc(PART);
	if (!bytes)
		return -ENOMEM;
	int r = ftruncate(to, 0) < 0 ? -errno : 0;
	for (uint64_t at = 0; r == 0 && at < size;) {
		size_t part = size - at < PART ? (size_t)(size - at) : PART;
		r = file_pread_all(from, bytes, part, offset + at);
		if (r == 0)
			r = file_pwrite_all(to, bytes, part, at);
		at += part;
	}
	return r;
}

static bool entry_is_right(const struct session *s, const struct task *t, int fd,
			   const struct pip_entry *entry, struct sha256 *ret)
{
	CLEANUP(check_freep) struct check *check = NULL;
	struct expected expected = task_expected(t);
	if (entry->status != 200 || check_new(&expected, &check, NULL) < 0 ||
	    check_add_file(check, fd, entry->body, entry->body_size) < 0 ||
	    check_end(check, ret, NULL) < 0)
		return false;
	known_note(s->request->cache, ret, check);
	return true;
}

/* Before, it lay within the entry: it is copied out, and the copy taken at once. */
static int add_embedded(struct session *s, struct batch *b, struct task *t)
{
	CLEANUP(partial_freep) struct partial *partial = NULL;
	cleanup_free char *name = pip_entry_path("http", t->wheel->url);
	cleanup_free char *path =
	    name ? path_join(s->request->settings->pip_cache, name) : NULL;
	struct pip_entry entry;
	struct sha256 sha256;
	if (!path)
		return -ENOMEM;
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	struct msgpack m = { .pread = msgpack_pread_fd, .context = &fd };
	if (fd < 0 || pip_entry_parse(&m, &entry) < 0 ||
	    !entry_is_right(s, t, fd, &entry, &sha256))
		return 0;
	struct digest key = digest_of(path, strlen(path));
	if (partial_open(cache_own(s->request->cache), &key, &partial) < 0)
		return 0;
	cleanup_fd int to = file_open_beneath(partial_dirfd(partial), t->wheel->file,
					      O_WRONLY | O_CREAT, 0600);
	cleanup_free char *copy = path_join(partial_path(partial), t->wheel->file);
	int r = copy ? 0 : -ENOMEM;
	if (r == 0 && to >= 0 && copy_body(fd, entry.body, entry.body_size, to) == 0) {
		struct wheel_job job = { .path = copy,
					 .origin = path,
					 .expected = &sha256 };
		r = batch_add(b, t, &job);
		if (r == 0)
			batch_run(s, b);
	}
	partial_remove(steal_ptr(partial));
	return r;
}

/* May it be? pip names what it caches by URL; tools build of files with their own names.
 */
static bool is_in_pip(const struct task *t)
{
	return !t->done && !t->is_sdist && sha256_of_wheel(t) && t->wheel->url &&
	       url_is_http(t->wheel->url);
}

static int add_all_from_pip(struct session *s, struct batch *b)
{
	int r = 0;
	if (!s->request->settings->pip_cache)
		return 0;
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		struct task *t = &s->tasks[i];
		if (is_in_pip(t))
			r = add_body(s, b, t);
	}
	if (r == 0)
		batch_run(s, b);
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		struct task *t = &s->tasks[i];
		if (is_in_pip(t))
			r = add_embedded(s, b, t);
	}
	return r;
}

int session_find_local(struct session *s)
{
	CLEANUP(batch_release) struct batch b = { .kind = SOURCE_FILE, .is_final = true };
	int r = 0;
	for (size_t i = 0; r == 0 && i < s->count; i++)
		r = add_path(s, &b, &s->tasks[i]);
	if (r == 0)
		batch_run(s, &b);
	b.is_final = false;
	b.kind = SOURCE_LINKS;
	if (r == 0)
		r = add_found_links(s, &b);
	b.kind = SOURCE_UV;
	if (r == 0)
		r = add_all_from_uv(s, &b);
	b.kind = SOURCE_PIP;
	return r < 0 ? r : add_all_from_pip(s, &b);
}
