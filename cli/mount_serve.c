#include "cli/mount_serve.h"

#include "cache/base/file.h"
#include "cli/interrupt.h"
#include "cli/leftovers.h"
#include "fusefs/serve/account.h"
#include "fusefs/serve/ahead.h"
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
#include <stdint.h>
#include <stdio.h>
#include <string.h>
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
	bool is_mounted;
};

static int launch(const struct serve_request *q, int fuse, int gate, struct launched *ret,
		  struct error *reterr)
{
	(void)unlinkat(state_fd(q->state), ENDED_FILE, 0);
	cleanup_fd int log = logfile_open(state_path(q->state));
	if (log < 0)
		return error_errno(reterr, log, "cannot write to '%s/log'",
				   state_path(q->state));
	const struct launch request = { .state_path = state_path(q->state),
					.socket_path = q->socket_path,
					.fuse_fd = fuse,
					.lock_fd = q->lock,
					.log_fd = log,
					.hold_fd = q->upper_lock,
					.gate_fd = gate };
	return launch_server(&request, ret, reterr);
}

/* The server reaches that directory and all beneath it, whatever is made there. */
static bool is_in_state(const struct state *state, const char *path)
{
	size_t size = strlen(state_path(state));
	return strncmp(path, state_path(state), size) == 0 && path[size] == '/';
}

int serve_ahead_start(const struct serve_request *request, const char *upper,
		      const struct digest *images, size_t count, struct serve_ahead *ret,
		      struct error *reterr)
{
	const struct serve_request *q = request;
	CLEANUP(serve_ahead_release) struct serve_ahead ahead = SERVE_AHEAD_NONE;
	int gate[2];
	if (q->device.broker || !account_may_mount())
		return 0;
	if (pipe2(gate, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_errno(reterr, -errno, "cannot start a server");
	cleanup_fd int worker_end = gate[0];
	ahead.gate = gate[1];
	(void)fcntl(worker_end, F_SETFL, 0); /* the worker waits there */
	const struct plan told = { .path = (char *)(uintptr_t)q->path,
				   .socket = (char *)(uintptr_t)q->socket_path,
				   .upper = (char *)(uintptr_t)upper };
	if (!*upper || is_in_state(q->state, upper))
		ahead_tell(ahead.gate, &told, images, count);
	ahead.fuse = device_open(reterr);
	int r = ahead.fuse < 0 ? ahead.fuse
			       : launch(q, ahead.fuse, worker_end, &ahead.server, reterr);
	if (r < 0)
		return r;
	*ret = ahead;
	ahead = SERVE_AHEAD_NONE;
	return 0;
}

void serve_ahead_release(struct serve_ahead *ahead)
{
	cleanup_close_fn(&ahead->gate);
	cleanup_close_fn(&ahead->fuse);
	if (ahead->server.pid > 0)
		launch_let_end(&ahead->server);
	*ahead = SERVE_AHEAD_NONE;
}

/* The server is there already. */
static int mount_opened(struct serving *s, struct serve_ahead *ahead,
			struct error *reterr)
{
	const struct serve_request *q = s->request;
	int r = device_mount_opened(q->path, q->dirfd, ahead->fuse, &q->device, reterr);
	if (r < 0)
		return r;
	s->is_mounted = true;
	s->server = ahead->server;
	ahead->server = SERVE_AHEAD_NONE.server;
	serve_ahead_release(ahead); /* and so it serves */
	return 0;
}

static int mount_and_launch(struct serving *s, struct error *reterr)
{
	const struct serve_request *q = s->request;
	cleanup_fd int fuse = device_mount(q->path, q->dirfd, &q->device, reterr);
	if (fuse < 0)
		return fuse;
	s->is_mounted = true;
	return launch(q, fuse, -1, &s->server, reterr);
}

static int wait_for_server(struct serving *s, struct error *reterr)
{
	const struct serve_request *q = s->request;
	int done = q->meanwhile ? q->meanwhile(q->context, reterr) : 0;
	/* The server is waited for in any case, so that none is left. */
	int r = launch_wait(&s->server, s->signal_fd, done < 0 ? NULL : reterr);
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

static int start(struct serving *s, struct serve_ahead *ahead, struct error *reterr)
{
	const struct serve_request *q = s->request;
	struct stat st = { .st_dev = 0 };
	int r = ahead->server.pid > 0 ? mount_opened(s, ahead, reterr)
				      : mount_and_launch(s, reterr);
	if (r < 0 && !s->is_mounted)
		return r;
	if (r == 0)
		r = wait_for_server(s, reterr);
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

int mount_serve(const struct serve_request *request, struct serve_ahead *ahead,
		int *ret_signal, struct error *reterr)
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
	int r = start(&s, ahead, reterr);
	/* Of what lies below; by its path it would pass for a file open in the mount. */
	(void)close(request->dirfd);
	if (r == -EINTR && read(signals, &info, sizeof(info)) == sizeof(info))
		*ret_signal = (int)info.ssi_signo;
	if (r == 0 && request->foreground)
		r = wait_for_end(&s, reterr);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
