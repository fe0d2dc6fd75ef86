#include "fusefs/serve/landlock.h"

#include "cache/base/cleanup.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WITH_MOVES = 2, WITH_TRUNCATION = 3 }; /* versions of Landlock */

int landlock_begin(struct landlock *l, uint64_t limited)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	if (version < WITH_MOVES)
		return -EOPNOTSUPP;
	if (version < WITH_TRUNCATION)
		limited &= ~LANDLOCK_TRUNCATE;
	const struct landlock_ruleset_attr handled = { .handled_access_fs = limited };
	l->limited = limited;
	l->rules = (int)syscall(SYS_landlock_create_ruleset, &handled,
				sizeof(handled.handled_access_fs), 0);
	return l->rules < 0 ? -errno : 0;
}

void landlock_release(struct landlock *l)
{
	cleanup_close_fn(&l->rules);
}

int landlock_allow(struct landlock *l, int fd, uint64_t access)
{
	const uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE |
				  LANDLOCK_ACCESS_FS_WRITE_FILE |
				  LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_TRUNCATE;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		access &= of_files;
	const struct landlock_path_beneath_attr rule = { .allowed_access =
							     access & l->limited,
							 .parent_fd = fd };
	return syscall(SYS_landlock_add_rule, l->rules, LANDLOCK_RULE_PATH_BENEATH, &rule,
		       0) < 0
		   ? -errno
		   : 0;
}

int landlock_enter(struct landlock *l)
{
	if (syscall(SYS_landlock_restrict_self, l->rules, 0) == 0)
		return 0;
	return errno == E2BIG ? -EOPNOTSUPP : -errno;
}
