/*
 * The supervisor of a mount: it holds /dev/fuse open, so that the mount lives on when the
 * process that serves it dies, and starts another one then. It does nothing else that
 * could fail: it maps a page of memory that it shares with the worker, answers "status"
 * from it, and waits. `venvfs mount` starts it with what it inherits.
 */
#include "fusefs/supervise/answer.h"
#include "fusefs/supervise/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct supervisor {
	const char *venvfs, *state_path, *socket_path;
	struct shared *shared;
	struct deaths deaths;
	pid_t worker;
	pid_t leaver; /* takes the mount out of sight; 0: none runs */
	int listener, signals;
	int result; /* exit status, once `done` */
	int done;
};

static void say(const char *what)
{
	char stamp[32] = "";
	struct tm tm;
	time_t now = time(NULL);
	if (gmtime_r(&now, &tm))
		(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ ", &tm);
	(void)dprintf(STDERR_FILENO, "%ssupervisor: %s\n", stamp, what);
}

static int64_t milliseconds(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int make_shared(struct supervisor *s)
{
	int fd = memfd_create("venvfs", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)SHARED_SIZE) < 0)
		return -errno;
	if (fd != SHARED_FD) {
		if (dup2(fd, SHARED_FD) < 0)
			return -errno;
		(void)close(fd);
	}
	/* Workers inherit it. */
	if (fcntl(SHARED_FD, F_SETFD, 0) < 0)
		return -errno;
	void *map =
	    mmap(NULL, SHARED_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (map == MAP_FAILED)
		return -errno;
	s->shared = map;
	s->shared->magic = SHARED_MAGIC;
	s->shared->version = SHARED_VERSION;
	s->shared->since = time(NULL);
	atomic_store(&s->shared->supervisor, (int32_t)getpid());
	return 0;
}

static int take_signals(struct supervisor *s)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGPIPE);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC);
	return s->signals < 0 ? -errno : 0;
}

static int start(struct supervisor *s, int first)
{
	s->worker = worker_start(s->venvfs, s->state_path, first != 0);
	if (s->worker < 0)
		return s->worker;
	atomic_store(&s->shared->worker, (int32_t)s->worker);
	return 0;
}

static void end(struct supervisor *s, int result)
{
	s->done = 1;
	s->result = result;
}

static void worker_ended(struct supervisor *s, int status)
{
	char text[160];
	uint64_t answered = atomic_load(&s->shared->answered);
	/* Unmounted; or it never served, and has said why to who asked. */
	if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
	    atomic_load(&s->shared->init_size) == 0) {
		end(s, WIFEXITED(status) ? WEXITSTATUS(status) : 1);
		return;
	}
	const char *why = deaths_note(&s->deaths, status, answered, milliseconds());
	(void)snprintf(text, sizeof(text), "the worker ended with %s %d%s%s",
		       WIFEXITED(status) ? "status" : "signal",
		       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
		       why ? "; the mount ends, as " : "; another one starts",
		       why ? why : "");
	say(text);
	if (why) {
		end(s, 1);
		return;
	}
	(void)atomic_fetch_add(&s->shared->restarts, 1);
	if (start(s, 0) < 0) {
		say("cannot start another worker");
		end(s, 1);
	}
}

static void take_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;
	if (read(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if ((info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) && s->leaver <= 0)
		s->leaver = leaver_start(s->venvfs, s->state_path);
	/* One signal may stand for several children. */
	while (!s->done && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->worker)
			worker_ended(s, status);
		else if (pid == s->leaver)
			s->leaver = 0;
	}
}

static int run(struct supervisor *s)
{
	/* First of all: its number is promised to the workers. */
	int r = make_shared(s);
	if (r == 0)
		r = take_signals(s);
	if (r == 0)
		r = s->listener = answer_listen(s->socket_path);
	if (r >= 0)
		r = start(s, 1);
	if (r < 0) {
		(void)dprintf(READY_FD, "cannot start a server: %s\n", strerror(-r));
		return 1;
	}
	(void)close(READY_FD);
	while (!s->done) {
		struct pollfd fds[] = { { .fd = s->signals, .events = POLLIN },
					{ .fd = s->listener, .events = POLLIN } };
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			take_signal(s);
		if (fds[1].revents)
			answer_one(s->listener, s->socket_path, s->shared);
	}
	(void)unlink(s->socket_path);
	return s->result;
}

int main(int argc, char **argv)
{
	enum { VENVFS = 1, STATE, SOCKET, ARGUMENTS };
	if (argc != ARGUMENTS) {
		(void)fprintf(stderr,
			      "venvfs-supervise: this is for venvfs mount only\n");
		return 2;
	}
	struct supervisor s = { .venvfs = argv[VENVFS],
				.state_path = argv[STATE],
				.socket_path = argv[SOCKET],
				.listener = -1,
				.signals = -1 };
	(void)prctl(PR_SET_NAME, "venvfs-super");
	return run(&s);
}
