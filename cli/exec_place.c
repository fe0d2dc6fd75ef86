#include "cli/exec_place.h"

#include "cache/base/file.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make_point(char **ret_path, struct error *reterr)
{
	const char *folder = getenv("TMPDIR");
	cleanup_free char *template =
	    path_join(folder && *folder == '/' ? folder : "/tmp", "venvfs-XXXXXX");
	if (!template)
		return -ENOMEM;
	if (!mkdtemp(template))
		return error_errno(reterr, -errno, "cannot make the directory '%s'",
				   template);
	int r = path_canonical(template, ret_path, reterr);
	if (r < 0)
		(void)rmdir(template);
	return r;
}

static int sweep_one(void *context, struct state *state)
{
	char type[64];
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	(void)context;
	if (plan_read(state_fd(state), &plan) < 0 || !plan.throwaway)
		return 0;
	cleanup_fd int lock = state_lock(state, 0);
	if (lock < 0)
		return 0;
	if (device_look(plan.path, type) == MOUNTED_VENVFS)
		(void)device_unmount(plan.path, true, NULL, NULL);
	(void)rmdir(plan.path);
	(void)state_remove(state);
	return 0;
}

int exec_place_make(struct exec_place *ret, struct error *reterr)
{
	CLEANUP(exec_place_release) struct exec_place place = EXEC_PLACE_INIT;
	(void)state_each(sweep_one, NULL);
	int r = make_point(&place.path, reterr);
	if (r == 0)
		r = state_open(place.path, true, &place.state, reterr);
	if (r == 0) {
		r = place.lock = state_lock(place.state, 0);
		if (r < 0)
			(void)error_errno(reterr, r, "cannot lock '%s'",
					  state_path(place.state));
	}
	if (r < 0) {
		exec_place_remove(&place);
		return r;
	}
	*ret = place;
	place = EXEC_PLACE_INIT;
	return 0;
}

void exec_place_remove(struct exec_place *place)
{
	if (place->path)
		(void)rmdir(place->path);
	if (place->state)
		(void)state_remove(place->state);
}

void exec_place_release(struct exec_place *place)
{
	cleanup_close_fn(&place->lock);
	state_free(place->state);
	free(place->path);
	*place = EXEC_PLACE_INIT;
}
