#include "cli/mount_serve.h"

#include "cache/base/file.h"
#include "cli/interrupt.h"
#include "cli/leftovers.h"
#include "fusefs/serve/broker.h"
#include "fusefs/serve/dead.h"
#include "fusefs/serve/launch.h"
#include "fusefs/supervise/logfile.h"
#include "fusefs/supervise/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void raise_read_ahead(const struct serve_request *q, dev_t device)
{
	if (q->device.broker)
		broker_read_ahead(q->device.broker, device);
	else
		device_read_ahead(device);
}

/* What a mount is made with, beside what was asked for. */
struct serving {
	const struct serve_request *request;
	sigset_t signals; /* that interrupt it; blocked */
	int signal_fd;    /* where they can be read */
	struct launched server;
};

static int launch(struct serving *s, int fuse, int log, struct error *reterr)
{
	const struct serve_request *q = s->request;
	const struct launch request = { .state_path = state_path(q->state),
					.socket_path = q->socket_path,
					.fuse_fd = fuse,
					.lock_fd = q->lock,
					.log_fd = log,
					.hold_fd = q->upper_lock };
	int r = launch_server(&request, &s->server, reterr);
	if (r < 0)
		return r;
	int done = q->meanwhile ? q->meanwhile(q->context, reterr) : 0;
	/* The server is waited for in any case, so that none is left. */
	r = launch_wait(&s->server, s->signal_fd, done < 0 ? NULL : reterr);
	return done < 0 ? done : r;
}

struct first_request {
	const char *path;
	struct stat st;
	int result;
	int done; /* eventfd */
};

static void *stat_root(void *argument)
{
	struct first_request *f = argument;
	f->result = stat(f->path, &f->st) < 0 ? -errno : 0;
	(void)eventfd_write(f->done, 1);
	return NULL;
}

/*
 * What answers it can be used. It waits in the kernel, where once a worker has read it no
 * signal reaches it, but the end of the last descriptor of /dev/fuse does, which is not
 * ours: so a thread makes it.
 */
static int make_first_request(const struct serving *s, struct stat *ret)
{
	pthread_t thread;
	cleanup_fd int done = eventfd(0, EFD_CLOEXEC);
	struct first_request f = { .path = s->request->path, .done = done };
	struct pollfd fds[] = { { .fd = done, .events = POLLIN },
				{ .fd = s->signal_fd, .events = POLLIN } };
	int r = done < 0 ? -errno : -pthread_create(&thread, NULL, stat_root, &f);
	if (r < 0)
		return r;
	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	bool is_interrupted = fds[1].revents != 0;
	if (is_interrupted)
		launch_end(&s->server);
	(void)pthread_join(thread, NULL);
	*ret = f.st;
	return is_interrupted ? -EINTR : f.result;
}

static int start(struct serving *s, struct error *reterr)
{
	const struct serve_request *q = s->request;
	struct stat st = { .st_dev = 0 };
	(void)unlinkat(state_fd(q->state), ENDED_FILE, 0);
	cleanup_fd int log = logfile_open(state_path(q->state));
	if (log < 0)
		return error_errno(reterr, log, "cannot write to '%s/log'",
				   state_path(q->state));
	cleanup_fd int fuse = device_mount(q->path, q->dirfd, &q->device, reterr);
	if (fuse < 0)
		return fuse;
	int r = launch(s, fuse, log, reterr);
	(void)close(steal_fd(&fuse));
	if (r == 0) {
		r = make_first_request(s, &st);
		if (r < 0)
			(void)error_errno(reterr, r, "the mount at '%s' does not answer",
					  q->path);
	}
	if (r == -EINTR)
		(void)error_set(reterr, r, "interrupted; nothing is mounted at '%s'",
				q->path);
	if (r < 0) {
		struct error ignored = ERROR_INIT;
		(void)device_unmount(q->path, true, q->device.broker, &ignored);
		leftovers_remove(q->state);
		return r;
	}
	dead_note(q->state, st.st_dev);
	raise_read_ahead(q, st.st_dev);
	return 0;
}

/* A signal is the order to unmount; the server ends when that was done. */
static int wait_for_end(const struct serving *s, struct error *reterr)
{
	const struct serve_request *q = s->request;
	int status;
	sigset_t with_child = s->signals;
	(void)sigaddset(&with_child, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &with_child, NULL);
	while (waitpid(s->server.pid, &status, WNOHANG) == 0) {
		int number = sigwaitinfo(&with_child, NULL);
		if (number == SIGCHLD || number < 0)
			continue;
		if (device_unmount(q->path, true, q->device.broker, NULL) < 0)
			(void)kill(s->server.pid, SIGTERM);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return error_set(reterr, -EIO, "the server ended with %s %d",
			 WIFEXITED(status) ? "status" : "signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int mount_serve(const struct serve_request *request, int *ret_signal,
		struct error *reterr)
{
	struct serving s = { .request = request, .server = { .pid = -1, .ready = -1 } };
	struct signalfd_siginfo info;
	sigset_t before;
	/* A Ctrl-C between mount(2) and a server would leave a mount that nobody serves.
	 */
	interrupt_signals(&s.signals);
	(void)sigprocmask(SIG_BLOCK, &s.signals, &before);
	cleanup_fd int signals = s.signal_fd =
	    signalfd(-1, &s.signals, SFD_CLOEXEC | SFD_NONBLOCK);
	int r = start(&s, reterr);
	/* Of what lies below; by its path it would pass for a file open in the mount. */
	(void)close(request->dirfd);
	if (r == -EINTR && read(signals, &info, sizeof(info)) == sizeof(info))
		*ret_signal = (int)info.ssi_signo;
	if (r == 0 && request->foreground)
		r = wait_for_end(&s, reterr);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
