#include "fusefs/serve/leave.h"

#include "cache/base/cleanup.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAITING_FD = 3 };

/* What is mounted where is read here and now: the server, which parses what it serves,
 * has no say in it. */
static void unmount_own(const char *state_path)
{
	CLEANUP(state_freep) struct state *state = NULL;
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	if (state_open_directory(state_path, &state, NULL) == 0 &&
	    plan_read(state_fd(state), &plan) == 0)
		(void)device_unmount(plan.path, true, NULL, NULL);
}

_Noreturn static void wait_to_leave(const char *state_path, int socket)
{
	char byte;
	sigset_t all;
	/* A Ctrl-C reaches all of a process group; the server alone acts on it. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_NAME, "venvfs-leave");
	if (dup2(socket, WAITING_FD) < 0 || close_range(WAITING_FD + 1, ~0u, 0) < 0)
		_exit(1);
	if (read(WAITING_FD, &byte, 1) == 1)
		unmount_own(state_path);
	_exit(0);
}

int leave_prepare(const char *state_path, struct error *reterr)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(reterr, -errno, "cannot make a socket");
	cleanup_fd int ours = pair[0];
	cleanup_fd int theirs = pair[1];
	/* Twice, so that it is not the server's child, and needs nobody to wait for it.
	 */
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(ours);
		if (fork() == 0)
			wait_to_leave(state_path, theirs);
		_exit(0);
	}
	if (pid < 0)
		return error_errno(reterr, -errno, "cannot start a process");
	(void)waitpid(pid, NULL, 0);
	return steal_fd(&ours);
}

void leave_sight(int fd)
{
	(void)send(fd, "", 1, MSG_NOSIGNAL);
}
