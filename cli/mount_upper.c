#include "cli/mount_upper.h"

#include "cache/base/file.h"
#include "cache/base/trust.h"
#include "fusefs/serve/plan_changed.h"
#include "fusefs/serve/state_local.h"
#include "fusefs/upper/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EPHEMERAL "ephemeral" /* where --ephemeral keeps them */

static bool has_changes(const char *upper)
{
	cleanup_free char *index = path_join(upper, "index.db");
	struct stat st;
	return index && lstat(index, &st) == 0;
}

/* What was changed before stays where it is. */
static int path_in_state(const struct state *state, const char *name, char **ret_path,
			 struct error *reterr)
{
	cleanup_free char *local = NULL;
	cleanup_free char *path = path_join(state_path(state), name);
	if (!path)
		return -ENOMEM;
	if (!has_changes(path) && state_is_remote(state)) {
		int r = state_local_directory(state, &local, reterr);
		if (r < 0)
			return r;
		free(path);
		path = path_join(local, name);
	}
	*ret_path = steal_ptr(path);
	return *ret_path ? 0 : -ENOMEM;
}

int mount_upper_path(const struct state *state, const struct upper_request *request,
		     char **ret_path, struct error *reterr)
{
	if (!request->read_only && request->path)
		return path_canonical(request->path, ret_path, reterr);
	if (!request->read_only)
		return path_in_state(state, request->ephemeral ? EPHEMERAL : "upper",
				     ret_path, reterr);
	*ret_path = strdup("");
	return *ret_path ? 0 : -ENOMEM;
}

static void drop_changes(const char *folder)
{
	cleanup_free char *path = path_join(folder, EPHEMERAL);
	if (path && has_changes(path))
		(void)upper_discard(path, NULL);
}

void mount_upper_drop_ephemeral(const struct state *state)
{
	cleanup_free char *local = NULL;
	drop_changes(state_path(state));
	if (state_has_local(state) && state_local_directory(state, &local, NULL) == 0)
		drop_changes(local);
}

int mount_upper_hold(const char *given, const char *mount_path, struct error *reterr)
{
	cleanup_free char *here = *given == '/' ? NULL : getcwd(NULL, 0);
	cleanup_free char *path = here ? path_join(here, given) : strdup(given);
	cleanup_free char *made = NULL;
	if (!path)
		return -ENOMEM;
	int r = trust_make_path(path, "--upper", &made, reterr);
	return r < 0 ? r : upper_hold(made, mount_path, reterr);
}

static int write_base(const struct plan *plan, struct error *reterr)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = plan_describe(plan, &text);
	if (r == 0)
		r = file_make_dirs(plan->upper, 0700);
	cleanup_fd int fd =
	    r < 0 ? r : file_open(AT_FDCWD, plan->upper, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return error_errno(reterr, fd, "cannot make '%s'", plan->upper);
	file_sweep_asides(fd);
	r = file_keep_lasting_at(fd, "base", text.data, text.size);
	return r < 0 ? error_errno(reterr, r, "cannot write to '%s'", plan->upper) : 0;
}

/* Nobody is asked in a script: who says --fresh there means it. */
static bool is_confirmed(const char *path)
{
	char answer[16];
	if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
		return true;
	(void)fprintf(stderr, "Drop everything that was changed in '%s'? [y/N] ", path);
	return fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y');
}

int mount_upper_prepare(const struct carry *carry, const struct upper_request *request,
			struct plan *ret_before, struct error *reterr)
{
	const struct plan *plan = carry->plan;
	enum carry_state found;
	if (!*plan->upper)
		return 0;
	if (request->fresh && has_changes(plan->upper) && !is_confirmed(plan->path))
		return error_set(reterr, -ECANCELED, "nothing was changed");
	int r =
	    request->fresh || request->ephemeral ? upper_discard(plan->upper, reterr) : 0;
	if (r == 0)
		r = carry_look(plan, &found, reterr);
	if (r < 0)
		return r;
	if (found == CARRY_NEEDED)
		return carry_over(carry, ret_before, reterr);
	return found == CARRY_FITS ? 0 : write_base(plan, reterr);
}

/* Goes up from `path`, whose end need not exist, and compares each directory. */
int mount_upper_check_outside(const char *path, const char *what, int dirfd,
			      const char *mount_path, struct error *reterr)
{
	struct stat point;
	cleanup_free char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	if (fstat(dirfd, &point) < 0)
		return error_errno(reterr, -errno, "cannot look at '%s'", mount_path);
	for (char *end = copy + strlen(copy); end; end = strrchr(copy, '/')) {
		struct stat st;
		*end = '\0';
		if (stat(*copy ? copy : "/", &st) == 0 && st.st_dev == point.st_dev &&
		    st.st_ino == point.st_ino)
			return error_set(
			    reterr, -EINVAL,
			    "%s '%s' lies in '%s' and would be hidden by the "
			    "mount",
			    what, path, mount_path);
	}
	return 0;
}
