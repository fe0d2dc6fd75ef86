#include "cli/export_work.h"

#include "cli/progress.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MOST = 16 };

struct export_work {
	char *path; /* what messages call the root */
	struct export_dir *dirs;
	size_t count, room;
	size_t scratch_size;
	export_fill *fill;
	void *context;
	atomic_size_t next;
	atomic_bool stop;
	pthread_mutex_t lock;
	int result;               /* guarded by lock: the first that failed */
	size_t done;              /* guarded by lock: directories */
	struct progress progress; /* guarded by lock */
	struct error err;         /* guarded by lock */
};

int export_work_new(const char *path, struct export_work **ret)
{
	struct export_work *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	(void)pthread_mutex_init(&w->lock, NULL);
	w->path = strdup(path);
	if (!w->path) {
		export_work_free(w);
		return -ENOMEM;
	}
	*ret = w;
	return 0;
}

void export_work_free(struct export_work *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->count; i++)
		free(w->dirs[i].path);
	free(w->dirs);
	free(w->path);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

int export_work_add(struct export_work *w, uint64_t id, char *take_path)
{
	cleanup_free char *path = take_path;
	if (!path)
		return -ENOMEM;
	if (w->count == w->room) {
		size_t room = w->room ? 2 * w->room : 256;
		struct export_dir *grown = reallocarray(w->dirs, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		w->dirs = grown;
		w->room = room;
	}
	w->dirs[w->count++] = (struct export_dir){ .id = id, .path = steal_ptr(path) };
	return 0;
}

bool export_work_get(const struct export_work *w, size_t i, struct export_dir *ret)
{
	if (i >= w->count)
		return false;
	*ret = w->dirs[i];
	return true;
}

void export_work_fail(struct export_work *w, const struct export_dir *dir,
		      const char *name, int code)
{
	(void)pthread_mutex_lock(&w->lock);
	if (w->result == 0) {
		bool root = strcmp(dir->path, ".") == 0;
		w->result = code;
		(void)error_errno(&w->err, code, "cannot write '%s%s%s%s%s'", w->path,
				  root ? "" : "/", root ? "" : dir->path,
				  *name ? "/" : "", name);
	}
	(void)pthread_mutex_unlock(&w->lock);
	atomic_store(&w->stop, true);
}

bool export_work_stopped(const struct export_work *w)
{
	return atomic_load_explicit(&w->stop, memory_order_relaxed);
}

bool export_is_interrupted(void)
{
	sigset_t pending;
	return sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) == 1 ||
					     sigismember(&pending, SIGTERM) == 1 ||
					     sigismember(&pending, SIGHUP) == 1);
}

static void tell_done(struct export_work *w, const struct export_dir *dir)
{
	(void)pthread_mutex_lock(&w->lock);
	w->done++;
	progress_show(&w->progress, w->done, w->count, dir->path);
	(void)pthread_mutex_unlock(&w->lock);
}

static void *fill_some(void *context)
{
	struct export_work *w = context;
	cleanup_free void *scratch = malloc(w->scratch_size);
	while (!export_work_stopped(w)) {
		size_t i = atomic_fetch_add(&w->next, 1);
		if (i >= w->count)
			break;
		if (!scratch || export_is_interrupted())
			export_work_fail(w, &w->dirs[i], "", scratch ? -EINTR : -ENOMEM);
		else
			w->fill(w->context, &w->dirs[i], scratch);
		tell_done(w, &w->dirs[i]);
	}
	return NULL;
}

static unsigned thread_count(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 1 ? 1 : (cores > THREADS_MOST ? THREADS_MOST : (unsigned)cores);
}

int export_work_run(struct export_work *w, size_t scratch_size, export_fill *fill,
		    void *context, struct error *reterr)
{
	pthread_t threads[THREADS_MOST];
	unsigned started = 0;
	unsigned wanted = thread_count() - 1; /* this one works, too */
	w->scratch_size = scratch_size;
	w->fill = fill;
	w->context = context;
	while (started < wanted &&
	       pthread_create(&threads[started], NULL, fill_some, w) == 0)
		started++;
	(void)fill_some(w);
	for (unsigned i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	progress_hide(&w->progress);
	return w->result < 0
		   ? error_set(reterr, w->result, "%s", error_text(&w->err, w->result))
		   : 0;
}
