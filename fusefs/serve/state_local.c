#include "fusefs/serve/state_local.h"

#include "cache/base/file.h"
#include "cache/base/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool state_is_remote(const struct state *state)
{
	char type[FS_TYPE_SIZE];
	/* For tests, which have no such disk. */
	return getenv("VENVFS_TEST_REMOTE_STATE") ||
	       file_is_remote(state_fd(state), type);
}

/* /var/tmp is everybody's: what stands there under our name may be another's. */
static int check_own(int fd, const char *path, struct error *reterr)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(reterr, -errno, "cannot look at '%s'", path);
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return error_set(reterr, -EACCES,
				 "'%s', where changes go because the state lies on a "
				 "network, is not this user's alone; remove it, or say "
				 "where with --upper",
				 path);
	return 0;
}

bool state_has_local(const struct state *state)
{
	char *path = NULL;
	struct stat st;
	if (asprintf(&path, "/var/tmp/venvfs-%u/%s", geteuid(), state_id(state)) < 0)
		return false;
	cleanup_free char *held = path;
	return lstat(path, &st) == 0;
}

int state_local_directory(const struct state *state, char **ret_path,
			  struct error *reterr)
{
	cleanup_free char *path = NULL;
	char *own = NULL;
	if (asprintf(&own, "/var/tmp/venvfs-%u", geteuid()) < 0)
		return -ENOMEM;
	cleanup_free char *held = own;
	int r = file_make_dir_at(AT_FDCWD, own, 0700);
	cleanup_fd int fd =
	    r < 0 ? r : file_open(AT_FDCWD, own, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return error_errno(reterr, fd, "cannot make '%s'", own);
	r = check_own(fd, own, reterr);
	if (r < 0)
		return r;
	path = path_join(own, state_id(state));
	if (!path)
		return -ENOMEM;
	r = file_make_dir_at(fd, state_id(state), 0700);
	if (r < 0)
		return error_errno(reterr, r, "cannot make '%s'", path);
	*ret_path = steal_ptr(path);
	return 0;
}
