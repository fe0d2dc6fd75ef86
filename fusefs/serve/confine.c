#include "fusefs/serve/confine.h"

#include "cache/base/cleanup.h"
#include "fusefs/serve/account.h"
#include "fusefs/serve/filter.h"
#include "fusefs/serve/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A server parses images, rows and messages that others may have made. What it does
 * beside computing is file I/O, answering /dev/fuse and one socket; so it may do just
 * that. No execve, no new process, no mount, no ptrace, no network, and no word to
 * anybody who has not asked: a socket can listen, and is of a kind that cannot send
 * without being connected. Else it could have its supervisor, D-Bus or a container's
 * daemon do what it may not do itself.
 *
 * What is not allowed fails with ENOSYS, rather than killing: a libc or SQLite of
 * tomorrow asks for a newer call first and takes ENOSYS for "this kernel has it not",
 * where EPERM would be an error to it and a kill a dead mount. That is why clone3 is not
 * here either: its flags lie in memory, where no filter sees them; libc falls back to
 * clone.
 *
 * A filter cannot see which file is opened, and /proc/PID/mem is one: by it the memory of
 * any process that the kernel lets it trace could be written, its supervisor's too. So
 * it is in a Landlock domain, from which nobody outside can be traced; a second one, when
 * it is known what it serves, says which files it reaches (reach.h).
 *
 * CAP_DAC_OVERRIDE and the like are of no use to root's server: its cache, state and
 * upper are root's own, and owners of what it shows are rows and columns.
 */

/* The filter that make_filter.c has made; the process's own number is filled in. */
static int install_filter(void)
{
	struct sock_filter rows[] = {
#include "fusefs/serve/filter_rows.h"
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	const struct sock_fprog program = { .len = ROWS, .filter = rows };
	int own = 0;
	for (size_t i = 0; i < ROWS; i++) {
		if (!filter_is_own(&rows[i]))
			continue;
		rows[i].k = (uint32_t)getpid();
		own++;
	}
	if (own == 0)
		return -EBADMSG;
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
			 &program);
	/* No seccomp(2); there is one thread. */
	if (r < 0 && errno == ENOSYS)
		r = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
	return r > 0 ? -ESRCH : r < 0 ? -errno : 0;
}

/*
 * Of the first domain; the second comes when it is known what is served (reach.h). What
 * is moved from one directory to another stays allowed; it would be forbidden by any set
 * of rules that does not say so.
 */
static int enter_domain(void)
{
	CLEANUP(landlock_release) struct landlock l = LANDLOCK_INIT;
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = landlock_begin(&l, LANDLOCK_REFER | LANDLOCK_ACCESS_FS_EXECUTE);
	if (r == 0)
		r = landlock_allow(&l, root, LANDLOCK_REFER);
	if (r == 0)
		r = landlock_enter(&l);
	return r == -EOPNOTSUPP ? 0 : r;
}

static bool says_there_is_none(int code)
{
	return code == -ENOSYS || code == -EINVAL || code == -EPERM || code == -EACCES;
}

int confine_server(int *ret_missing, struct error *reterr)
{
	int r = account_drop_capabilities();
	if (r < 0)
		return error_errno(reterr, r, "cannot give up capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(reterr, -errno, "cannot set no_new_privs");
	r = enter_domain();
	if (r < 0)
		return error_errno(reterr, r, "cannot enter a Landlock domain");
	r = install_filter();
	if (r < 0 && !says_there_is_none(r))
		return error_errno(reterr, r, "cannot install a seccomp filter");
	*ret_missing = r;
	return 0;
}
