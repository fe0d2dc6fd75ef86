#include "cli/exec_place.h"

#include "cache/base/file.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Says, before there is a plan, that all goes and which mount point goes with it. */
static const char mark_name[] = "throwaway";

/* A path that is free, most probably; what is there already fails mkdir(2). */
static int choose_path(char **ret_path, struct error *reterr)
{
	const char *folder = getenv("TMPDIR");
	cleanup_free char *canonical = NULL;
	uint8_t random[6];
	char hex[2 * sizeof(random) + 1];
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	hex_encode(random, sizeof(random), hex);
	int r = path_canonical(folder && *folder == '/' ? folder : "/tmp", &canonical,
			       reterr);
	if (r == 0 && asprintf(ret_path, "%s/venvfs-%s", canonical, hex) < 0) {
		*ret_path = NULL;
		r = -ENOMEM;
	}
	return r;
}

static int write_mark(const struct exec_place *place)
{
	cleanup_fd int fd = file_open_beneath(state_fd(place->state), mark_name,
					      O_WRONLY | O_CREAT | O_TRUNC, 0600);
	return fd < 0 ? fd : file_write_all(fd, place->path, strlen(place->path));
}

/*
 * Whenever this is killed, what it has made is found by the state: a mount point is made
 * after the mark that names it, under the lock.
 */
static int make_place(struct exec_place *place, struct error *reterr)
{
	int r = choose_path(&place->path, reterr);
	if (r == 0)
		r = state_open(place->path, true, &place->state, reterr);
	if (r < 0)
		return r;
	r = place->lock = state_lock(place->state, 0);
	if (r >= 0)
		r = write_mark(place);
	if (r < 0)
		return error_errno(reterr, r, "cannot write to '%s'",
				   state_path(place->state));
	if (mkdir(place->path, 0700) < 0)
		return error_errno(reterr, -errno, "cannot make the directory '%s'",
				   place->path);
	return 0;
}

/* The mount point of what is to go; "": it has none. NULL: it is to stay. */
static char *thrown_away(const struct state *state)
{
	enum { LARGEST_PATH = 4096, SECONDS = 60 };
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	cleanup_buffer struct buffer path = BUFFER_INIT;
	struct stat st;
	int r = plan_read(state_fd(state), &plan);
	if (r == 0)
		return plan.throwaway ? steal_ptr(plan.path) : NULL;
	if (file_read_at(state_fd(state), mark_name, LARGEST_PATH, &path) == 0)
		return strdup(path.size ? buffer_cstr(&path) : "");
	/* Of who was killed before a mark could be made; a little later, as another may
	 * be just about to. */
	return r == -ENOENT && fstat(state_fd(state), &st) == 0 &&
		       time(NULL) - st.st_mtim.tv_sec > SECONDS
		   ? strdup("")
		   : NULL;
}

static int sweep_one(void *context, struct state *state)
{
	char type[64];
	cleanup_free char *path = thrown_away(state);
	(void)context;
	cleanup_fd int lock = path ? state_lock(state, 0) : -1;
	if (lock < 0)
		return 0;
	if (*path && device_look(path, type) == MOUNTED_VENVFS)
		(void)device_unmount(path, true, NULL, NULL);
	if (*path)
		(void)rmdir(path);
	(void)state_remove(state);
	return 0;
}

int exec_place_make(struct exec_place *ret, struct error *reterr)
{
	CLEANUP(exec_place_release) struct exec_place place = EXEC_PLACE_INIT;
	(void)state_each(sweep_one, NULL);
	int r = make_place(&place, reterr);
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
