#include "cli/gather.h"

#include "cache/base/file.h"
#include "cache/env/seed.h"
#include "cli/output.h"
#include "cli/python.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void gathered_close_images(struct gathered *g)
{
	for (size_t i = 0; g->env_wheels && i < g->wheels.count; i++) {
		image_free(g->env_wheels[i].image);
		g->env_wheels[i].image = NULL;
	}
}

void gathered_release(struct gathered *g)
{
	interpreter_free(g->interpreter);
	gathered_close_images(g);
	for (size_t i = 0; g->env_wheels && i < g->wheels.count; i++)
		free((void *)(uintptr_t)g->env_wheels[i].path);
	free(g->env_wheels);
	free(g->pip);
	folder_args_release(&g->folders);
	wheel_args_release(&g->wheels);
	lease_free(g->lease);
	cache_free(g->cache);
	*g = (struct gathered){ .cache = NULL };
}

static int open_caches(const struct gather_request *q, struct gathered *g,
		       struct error *reterr)
{
	int r = cache_open(&g->cache, reterr);
	if (r < 0)
		return r;
	struct store *own = cache_own(g->cache);
	r = lease_take(own, q->who, &g->lease);
	return r < 0 ? error_errno(reterr, r, "cannot write to the cache '%s'",
				   store_path(own))
		     : 0;
}

/* A pip that was named is the one. */
static bool names_pip(const struct gather_request *q)
{
	for (size_t i = 0; i < q->count; i++) {
		const char *slash = strrchr(q->wheels[i], '/');
		if (strncasecmp(slash ? slash + 1 : q->wheels[i], "pip-", 4) == 0)
			return true;
	}
	return false;
}

/* Where the wheels came from is kept, but of pip, which nobody named. */
static int fill_wheels(const struct gather_request *q, struct gathered *g)
{
	struct error err = ERROR_INIT;
	size_t own = g->pip ? 1 : 0;
	g->env_wheels = calloc(own + q->count + 1, sizeof(*g->env_wheels));
	if (!g->env_wheels)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < g->wheels.count; i++)
		g->env_wheels[i].image_id = g->wheels.jobs[i].note.image;
	for (size_t i = 0; i < q->count; i++) {
		char *path = NULL;
		int r = path_canonical(q->wheels[i], &path, &err);
		if (r < 0)
			return say_error(&err, r);
		g->env_wheels[own + i].path = path;
	}
	return 0;
}

static int add_wheels(const struct gather_request *q, struct gathered *g)
{
	size_t own = g->pip ? 1 : 0;
	cleanup_free char **paths = calloc(own + q->count + 1, sizeof(*paths));
	if (!paths)
		return say_failed("%s", strerror(ENOMEM));
	paths[0] = g->pip;
	for (size_t i = 0; i < q->count; i++)
		paths[own + i] = q->wheels[i];
	return wheels_add(g->cache, paths, own + q->count, q->lenient, q->verbose,
			  &g->wheels);
}

/* The interpreter and what is known of the wheels. */
static int gather_wheels(const struct gather_request *q, struct gathered *g)
{
	struct error err = ERROR_INIT;
	int r = python_find(cache_own(g->cache), q->python, NULL, &g->interpreter, &err);
	if (r == 0 && q->seed && !names_pip(q))
		r = seed_find_pip(g->interpreter, &g->pip, &err);
	if (r < 0)
		return say_error(&err, r);
	if (q->verbose)
		say_note("Python %s: %s", g->interpreter->version,
			 g->interpreter->executable);
	int status = add_wheels(q, g);
	return status != 0 ? status : fill_wheels(q, g);
}

int gather(const struct gather_request *q, struct gathered *g)
{
	struct error err = ERROR_INIT;
	int r = open_caches(q, g, &err);
	if (r < 0)
		return say_error(&err, r);
	if (q->verbose)
		say_lines("VENVFS_CACHE_PATH", cache_skipped(g->cache));
	int status = q->count > 0 || q->seed ? gather_wheels(q, g) : 0;
	if (status != 0 || !q->layers)
		return status;
	return folders_add(g->cache, q->layers->items, q->layers->count, q->verbose,
			   &g->folders);
}
