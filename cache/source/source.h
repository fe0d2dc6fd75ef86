/*
 * Wheels made present in the cache as images, wherever they come from. Asked are, in this
 * order: our caches, folders of --find-links, uv's cache, pip's cache, the URL in the
 * lock, the indexes. Downloads run in parallel, and while they run, what came is
 * unpacked. One thread; it starts others.
 */
#pragma once

#include "cache/source/settings.h"
#include "cache/source/wanted.h"
#include "cache/wheel/add.h"

enum source_kind {
	SOURCE_CACHE, /* it was in a cache of ours */
	SOURCE_FILE,  /* a path in the lock */
	SOURCE_LINKS, /* a folder of --find-links */
	SOURCE_UV,
	SOURCE_PIP,
	SOURCE_URL, /* of the lock */
	SOURCE_INDEX,
};
/* "cache", "file", "find-links", "uv", "pip", "url", "index": as notes of wheels have it.
 */
const char *source_kind_name(enum source_kind kind);

/*
 * One distribution that is wanted. Of its wheels the first is taken: which wheel is
 * installed must not depend on what can be had just now (PEP 751). Of an sdist the file
 * is brought; other sources are not for us: -EINVAL.
 */
struct source_job {
	const struct wanted_dist *wanted;
	/* Results: */
	int result; /* 0 or a negative errno; then `err` says why, naming what was wanted
		     */
	struct error err;
	enum source_kind kind;
	char *place; /* a path, or a URL without secrets; for people; or NULL */
	struct wheel_note note;
	struct store *store; /* the cache that has it, borrowed */
	/* In their place, when there is no wheel: */
	bool is_sdist;
	struct sha256 sha256; /* of the sdist */
	char *file;           /* where it lies; NULL: is_built() knew it, or no_build */
	struct partial *held; /* what keeps it there when it was fetched; or NULL */
};
void source_job_release(struct source_job *job);

struct source_progress {
	size_t done, count;    /* wheels, of those that were not in a cache of ours */
	uint64_t bytes, total; /* of downloads; total: as far as it is known */
};

/* Called from several threads, one call at a time. */
typedef void source_progress_fn(void *context, const struct source_progress *progress);

struct source_request {
	struct cache *cache;
	const struct source_settings *settings;
	const struct wanted_judge *judge; /* needed for what is pinned only */
	const struct wheel_options *options;
	source_progress_fn *progress; /* or NULL */
	bool no_build; /* sdists of pins are not brought: it is only said that they are */
	/* Was an sdist of that hash built before, so that it is not needed? Or NULL. */
	bool (*is_built)(void *context, const struct wanted_dist *dist,
			 const struct sha256 *sha256);
	/* Of a wait for others that takes long: a line for people. Or NULL. Called as
	 * `progress` is, so that lines and bars do not mix. */
	void (*say)(void *context, const char *line);
	void *context; /* of all three */
};

/*
 * Works on all jobs, whatever becomes of single ones; take a lease before. 0, or a
 * negative errno when it could not work at all.
 */
int source_get_many(const struct source_request *request, struct source_job *jobs,
		    size_t count, struct error *reterr);
