/*
 * Source archives: found and fetched as wheels are, and left as files, for who builds
 * them. Of what is pinned one is taken only where no wheel was found at all.
 */
#include "cache/source/source_private.h"

#include "cache/base/file.h"
#include "cache/source/check.h"
#include "cache/source/url.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* "demo-1.0.tar.gz": how many bytes stand before the ending; 0: it is none. */
static size_t stem_of(const char *file)
{
	static const char *const endings[] = { ".tar.gz", ".zip" };
	size_t size = strlen(file);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t ending = strlen(endings[i]);
		if (size > ending && strcmp(file + size - ending, endings[i]) == 0)
			return size - ending;
	}
	return 0;
}

bool sdist_name_fits(const char *file, const char *name, const char *version)
{
	size_t size = stem_of(file);
	cleanup_free char *stem = strndup(file, size);
	bool fits = false;
	/* Old names have dashes in name and version. */
	for (char *dash = stem ? strchr(stem, '-') : NULL; dash && !fits;
	     dash = strchr(dash + 1, '-')) {
		*dash = '\0';
		fits = same_name(stem, name) && pin_takes(version, dash + 1);
		*dash = '-';
	}
	return fits;
}

static bool is_built(const struct session *s, const struct task *t,
		     const struct sha256 *sha256)
{
	const struct source_request *q = s->request;
	return q->is_built && q->is_built(q->context, t->dist, sha256);
}

bool task_find_built(struct session *s, struct task *t)
{
	bool own = t->is_sdist && t->wheel->bytes.has_sha256;
	const struct wanted_bytes *all = own ? &t->wheel->bytes : t->dist->hashes;
	size_t count = own ? 1 : t->dist->hash_count;
	for (size_t i = 0; i < count && !(t->dist->no_sdist && !t->is_sdist); i++) {
		if (!all[i].has_sha256 || !is_built(s, t, &all[i].sha256))
			continue;
		t->job->is_sdist = true;
		t->job->sha256 = all[i].sha256;
		task_found(s, t, SOURCE_CACHE, NULL);
		return true;
	}
	return false;
}

void task_found_sdist(struct session *s, struct task *t, enum source_kind kind,
		      const struct source_file *file)
{
	struct source_job *job = t->job;
	job->is_sdist = true;
	job->sha256 = file->sha256;
	job->file = strdup(file->path);
	job->held = file->held;
	if (!job->file)
		task_end(s, t, -ENOMEM);
	else
		task_found(s, t, kind, strdup(file->origin ? file->origin : file->path));
}

static char *file_name_of(const char *path_or_url)
{
	const char *slash = strrchr(path_or_url, '/');
	return path_or_url[0] == '/' ? strdup(slash + 1) : url_file_name(path_or_url);
}

int task_begin_sdist(struct task *t)
{
	const struct wanted_source *source = t->dist->source;
	const char *place = source->path_or_url;
	struct wanted_wheel *sdist = &t->sdist;
	t->wheel = sdist;
	t->is_sdist = true;
	sdist->file = file_name_of(place);
	if (place[0] == '/')
		sdist->path = strdup(place);
	else
		sdist->url = strdup(place);
	sdist->index_url = source->index_url ? strdup(source->index_url) : NULL;
	int r = wanted_bytes_copy(&sdist->bytes, &source->bytes);
	return r == 0 && sdist->file && (sdist->path || sdist->url) &&
		       (!source->index_url || sdist->index_url)
		   ? 0
		   : -ENOMEM;
}

bool task_promote_sdist(struct session *s, struct task *t)
{
	if (t->done || t->wheel || !t->sdist.file)
		return false;
	t->wheel = &t->sdist;
	t->is_sdist = true;
	t->lost = 0;
	if (s->request->no_build) {
		t->job->is_sdist = true;
		task_found(s, t, SOURCE_INDEX,
			   t->sdist.url ? url_shown(t->sdist.url)
					: strdup(t->sdist.path));
		return true;
	}
	(void)task_find_built(s, t);
	return true;
}

int task_take_local_sdist(struct session *s, struct task *t, const char *path,
			  enum source_kind kind)
{
	CLEANUP(check_freep) struct check *check = NULL;
	struct source_file file = { .path = path };
	struct stat st;
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && !S_ISREG(st.st_mode))
		r = -EISDIR;
	if (r < 0) {
		(void)error_set(&t->job->err, r, "%s: '%s': %s", t->what, path,
				strerror(-r));
		task_end(s, t, r);
		return 0;
	}
	struct expected expected = task_expected(t);
	r = check_new(&expected, &check, &t->job->err);
	if (r == 0)
		r = check_add_file(check, fd, 0, (uint64_t)st.st_size);
	if (r == 0)
		r = check_end(check, &file.sha256, &t->job->err);
	if (r == 0) {
		task_found_sdist(s, t, kind, &file);
		return 0;
	}
	if (r == -ENOMEM)
		return r;
	(void)error_prefix(&t->job->err, r, "%s: '%s'", t->what, path);
	task_end(s, t, r);
	return 0;
}
