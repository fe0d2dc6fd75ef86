#include "cli/mount_serve.h"

#include "cache/base/file.h"
#include "fusefs/serve/broker.h"
#include "fusefs/serve/dead.h"
#include "fusefs/serve/launch.h"
#include "fusefs/supervise/logfile.h"
#include "fusefs/supervise/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void raise_read_ahead(const struct serve_request *q, dev_t device)
{
	if (q->device.broker)
		broker_read_ahead(q->device.broker, device);
	else
		device_read_ahead(device);
}

static int launch(const struct serve_request *q, int fuse, int log, pid_t *ret_pid,
		  struct error *reterr)
{
	struct launched server;
	const struct launch request = { .state_path = state_path(q->state),
					.socket_path = q->socket_path,
					.fuse_fd = fuse,
					.lock_fd = q->lock,
					.log_fd = log,
					.hold_fd = q->upper_lock,
					.foreground = q->foreground };
	int r = launch_server(&request, &server, reterr);
	if (r < 0)
		return r;
	int done = q->meanwhile ? q->meanwhile(q->context, reterr) : 0;
	/* The server is waited for in any case, so that none is left. */
	r = launch_wait(&server, done < 0 ? NULL : reterr);
	*ret_pid = server.pid;
	return done < 0 ? done : r;
}

static int start(const struct serve_request *q, pid_t *ret_pid, struct error *reterr)
{
	struct stat st;
	(void)unlinkat(state_fd(q->state), ENDED_FILE, 0);
	cleanup_fd int log = logfile_open(state_path(q->state));
	if (log < 0)
		return error_errno(reterr, log, "cannot write to '%s/log'",
				   state_path(q->state));
	cleanup_fd int fuse = device_mount(q->path, q->dirfd, &q->device, reterr);
	if (fuse < 0)
		return fuse;
	int r = launch(q, fuse, log, ret_pid, reterr);
	/* The first request of all: what answers it can be used. */
	if (r == 0 && stat(q->path, &st) < 0)
		r = error_errno(reterr, -errno, "the mount at '%s' does not answer",
				q->path);
	if (r < 0) {
		struct error ignored = ERROR_INIT;
		(void)device_unmount(q->path, true, q->device.broker, &ignored);
		return r;
	}
	dead_note(q->state, st.st_dev);
	raise_read_ahead(q, st.st_dev);
	return 0;
}

/* A signal is the order to unmount; the server ends when that was done. */
static int wait_for_end(const struct serve_request *q, pid_t server,
			const sigset_t *signals, struct error *reterr)
{
	int status;
	sigset_t with_child = *signals;
	(void)sigaddset(&with_child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &with_child, NULL);
	while (waitpid(server, &status, WNOHANG) == 0) {
		int number = sigwaitinfo(&with_child, NULL);
		if (number == SIGCHLD || number < 0)
			continue;
		if (device_unmount(q->path, true, q->device.broker, NULL) < 0)
			(void)kill(server, SIGTERM);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return error_set(reterr, -EIO, "the server ended with %s %d",
			 WIFEXITED(status) ? "status" : "signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int mount_serve(const struct serve_request *request, struct error *reterr)
{
	sigset_t signals;
	sigset_t before;
	pid_t server = -1;
	/* A Ctrl-C between mount(2) and a server would leave a mount that nobody serves.
	 */
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &signals, &before);
	int r = start(request, &server, reterr);
	if (r == 0 && request->foreground)
		r = wait_for_end(request, server, &signals, reterr);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
