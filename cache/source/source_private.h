/* The jobs of one call on their way. Private to the source_*.c. */
#pragma once

#include <pthread.h>

#include "cache/source/download.h"
#include "cache/source/known.h"
#include "cache/source/source.h"
#include "cache/version/version.h"

/* How good a file is for a pin: what counts first stands first. */
struct fit {
	bool unsure; /* nobody says whether it has one of the pin's hashes */
	bool yanked;
	bool has_version;
	struct version version; /* "1.0" takes "1.0+cpu" too: the highest is the best */
	struct wheel_rank rank;
};
/* Negative: `a` is the better one. */
int fit_compare(const struct fit *a, const struct fit *b);

struct task {
	struct source_job *job;
	const struct wanted_dist *dist;
	const struct wanted_wheel *wheel; /* NULL: pinned, until an index named one */
	struct wanted_wheel found;        /* what `wheel` points to when one did */
	struct fit fit;                   /* of `found`, when it is for a pin */
	bool choosing; /* other indexes may have a better one: they are asked, too */
	struct wanted_wheel sdist; /* an sdist: what is wanted, or what was seen on the
				      way and is taken when there is no wheel */
	bool is_sdist;             /* `wheel` is one */
	char *what;                /* "numpy 2.1.0", for people */
	bool done;                 /* the job's result stands */
	bool missing; /* its URL says that it is not there: indexes may have it */
	bool refetch; /* a cache of ours has it, but not as it is expected to be */
	int lost;     /* what failed so far, and the job's err says why; another index may
			 have it */
	bool stopped; /* no other index is asked */
	int miss;     /* of `enum miss`: how near an index came */
};

struct session {
	const struct source_request *request;
	struct task *tasks; /* of what is in no cache of ours */
	size_t count;
	pthread_mutex_t lock;
	struct source_progress progress; /* guarded by lock */
};

/* Ends a task: as failed when r < 0; the text in the job's err then says why. */
void task_end(struct session *session, struct task *task, int r);
/* Ends it as found. `place` is handed over. */
void task_found(struct session *session, struct task *task, enum source_kind kind,
		char *place);
/* Is that file one that will do? */
bool task_takes_name(const struct session *session, const struct task *task,
		     const char *file, struct fit *ret);
/* Is it a version that the pin means? */
bool task_takes_version(const struct task *task, const char *version);
/* What its file must be. */
struct expected task_expected(const struct task *task);
/* May it be taken by its sha256, without a look at its bytes? */
bool task_takes_sha256(const struct session *session, const struct task *task,
		       const struct sha256 *sha256);
/* Is it in a cache of ours? Ends the task then. */
bool task_find_in_caches(struct session *session, struct task *task);

/* -- sdists -- */

struct source_file {
	const char *path, *origin; /* borrowed; origin: NULL is the path */
	struct sha256 sha256;
	struct partial *held; /* handed over; or NULL */
};

/* Is the file an sdist of that name and version? */
bool sdist_name_fits(const char *file, const char *name, const char *version);
/* Of what is to be built: `wheel` becomes the sdist. */
int task_begin_sdist(struct task *task);
/* Was it, or one of the pin's hashes, built before? Ends the task then. */
bool task_find_built(struct session *session, struct task *task);
/* For a pin without a wheel: the sdist that was seen is what is wanted. */
bool task_promote_sdist(struct session *session, struct task *task);
/* A file of this machine is the one that is meant; checked. */
int task_take_local_sdist(struct session *session, struct task *task, const char *path,
			  enum source_kind kind);
void task_found_sdist(struct session *session, struct task *task, enum source_kind kind,
		      const struct source_file *file);

/* Files that are to be added to the cache, each for a task. */
struct batch {
	struct wheel_job *jobs;
	struct held **held; /* what the jobs borrow */
	struct task **tasks;
	size_t count, room;
	enum source_kind kind;
	bool is_final; /* what fails ends the task; else the next source is asked */
};

/* Texts and hash of the job are copied. -ENOMEM. */
int batch_add(struct batch *batch, struct task *task, const struct wheel_job *job);
/* Adds them all, ends the tasks, and empties the batch. */
void batch_run(struct session *session, struct batch *batch);
void batch_release(struct batch *batch);

/* Whatever is on this machine. */
int session_find_local(struct session *session);
/* Finds, in pages and indexes, what is pinned and what is missing at its URL. */
int session_ask_indexes(struct session *session, struct error *reterr);
/* Fetches what has a URL and is not done yet. */
int session_fetch(struct session *session, struct error *reterr);

struct http_settings session_http(const struct source_settings *settings);
/*
 * User and password for a URL that has none, from the indexes; the caller frees both.
 * `index_url`: the index that it is of, or NULL: not known.
 */
int session_login(const struct source_settings *settings, const char *url,
		  const char *index_url, char **ret_user, char **ret_password);
