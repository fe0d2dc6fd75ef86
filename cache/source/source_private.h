/* The jobs of one call on their way. Private to the source_*.c. */
#pragma once

#include <pthread.h>

#include "cache/source/download.h"
#include "cache/source/source.h"

struct task {
	struct source_job *job;
	const struct wanted_wheel *wheel; /* NULL: pinned, until an index named one */
	char *what;                       /* "numpy 2.1.0", for people */
	bool done;                        /* the job's result stands */
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

/* Adds the files to the cache; jobs[i] belongs to tasks[i], which it ends. */
void session_add(struct session *session, struct task **tasks, struct wheel_job *jobs,
		 size_t count, enum source_kind kind);

/* Fetches what has a URL and is not done yet. A negative errno: it could not work at all.
 */
int session_fetch(struct session *session, struct error *reterr);
