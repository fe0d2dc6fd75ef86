#include "cache/base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int redirect(const struct run *run, int output,
		    posix_spawn_file_actions_t *actions)
{
	int taken = run->errors ? STDERR_FILENO : STDOUT_FILENO;
	int dropped = run->errors ? STDOUT_FILENO : STDERR_FILENO;
	int r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null",
						 O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, output, taken);
	if (r == 0 && run->both)
		r = posix_spawn_file_actions_adddup2(actions, output, dropped);
	else if (r == 0)
		r = posix_spawn_file_actions_addopen(actions, dropped, "/dev/null",
						     O_WRONLY, 0);
	/* dup2() onto itself is how close-on-exec is taken off here. */
	if (r == 0 && run->passed_fd > 0)
		r = posix_spawn_file_actions_adddup2(actions, run->passed_fd,
						     run->passed_fd);
	if (r == 0 && run->folder)
		r = posix_spawn_file_actions_addchdir_np(actions, run->folder);
	return r;
}

/*
 * What can be stopped has a session of its own: what it started is ended with it, and
 * what would ask a question on the terminal fails instead of waiting for ever.
 */
static int set_attributes(const struct run *run, posix_spawnattr_t *attributes)
{
	sigset_t none;
	(void)sigemptyset(&none);
	if (run->stop_fd == 0)
		return 0;
	int r = posix_spawnattr_setflags(
	    attributes, (short)(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK));
	return r == 0 ? posix_spawnattr_setsigmask(attributes, &none) : r;
}

/* The environment with one variable more; the strings are borrowed. */
static char **extend_environment(const char *variable)
{
	size_t count = 0;
	while (environ && environ[count])
		count++;
	char **extended = calloc(count + 2, sizeof(*extended));
	if (!extended)
		return NULL;
	if (variable)
		memcpy(&extended[0], &variable, sizeof(variable));
	if (count > 0)
		memcpy(extended + (variable ? 1 : 0), environ, count * sizeof(*extended));
	return extended;
}

static int start(const struct run *run, int output, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **args;
	cleanup_free char **environment = extend_environment(run->variable);
	memcpy(&args, &run->argv, sizeof(args)); /* posix_spawn does not write to them */
	if (!environment || posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	int r = posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = redirect(run, output, &actions);
		if (r == 0)
			r = set_attributes(run, &attributes);
		if (r == 0)
			r = posix_spawnp(ret_pid, args[0], &actions, &attributes, args,
					 environment);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int64_t now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 1: there may be more; 0: it has ended. */
static int read_some(const struct run *run, int fd, struct buffer *out)
{
	int r = buffer_reserve(out, 4096);
	if (r < 0)
		return r;
	ssize_t n = read(fd, out->data + out->size, out->room - out->size);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	if (n > 0 && run->heard)
		run->heard(run->context, out->data + out->size, (size_t)n);
	out->size += (size_t)n;
	if (out->size > run->limit && !run->tail)
		return -EFBIG;
	if (out->size > run->limit) {
		size_t kept = run->limit / 2;
		memmove(out->data, out->data + out->size - kept, kept);
		out->size = kept;
	}
	return n > 0;
}

static int poll_ms(int64_t deadline)
{
	int64_t left = deadline - now_ms();
	if (deadline == INT64_MAX)
		return -1;
	return left > 0 ? (int)left : 0;
}

/*
 * Until its end, or its output's. What it left running may hold the output open for
 * ever: when it has ended, only what is there already is read.
 */
static int read_output(const struct run *run, int fd, int process, int64_t deadline,
		       struct buffer *out)
{
	enum { OUTPUT, PROCESS, STOP, COUNT };
	struct pollfd p[COUNT] = {
		[OUTPUT] = { .fd = fd, .events = POLLIN },
		[PROCESS] = { .fd = process, .events = POLLIN },
		[STOP] = { .fd = run->stop_fd > 0 ? run->stop_fd : -1, .events = POLLIN },
	};
	for (;;) {
		bool ended = p[PROCESS].revents != 0;
		int ready = poll(p, COUNT, ended ? 0 : poll_ms(deadline));
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return -errno;
		if (p[STOP].revents)
			return -EINTR;
		if (p[OUTPUT].revents) {
			int r = read_some(run, fd, out);
			if (r <= 0)
				return r;
		} else if (ended) {
			return 0;
		} else if (ready == 0) {
			return -ETIMEDOUT;
		}
	}
}

/* Waits for the end; a program that closed its output and runs on is killed in time. */
static int wait_for(const struct run *run, pid_t pid, int64_t deadline)
{
	int status;
	for (;;) {
		pid_t r = waitpid(pid, &status, WNOHANG);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status)
						 : 128 + WTERMSIG(status);
		if (now_ms() > deadline)
			return -ETIMEDOUT;
		struct pollfd stop = { .fd = run->stop_fd > 0 ? run->stop_fd : -1,
				       .events = POLLIN };
		if (poll(&stop, 1, 1) > 0)
			return -EINTR;
	}
}

/* What can be stopped may clean up first. */
static void end(const struct run *run, pid_t pid)
{
	enum { GRACE_MS = 3000 };
	bool group = run->stop_fd > 0;
	if (group)
		(void)kill(-pid, SIGTERM);
	for (int ms = 0; group && ms < GRACE_MS; ms += 10) {
		if (waitpid(pid, NULL, WNOHANG) == pid) {
			(void)kill(-pid, SIGKILL);
			return;
		}
		(void)poll(NULL, 0, 10);
	}
	(void)kill(group ? -pid : pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

int run_program(const struct run *run, struct buffer *out)
{
	int pipe_fds[2];
	pid_t pid;
	int64_t deadline =
	    run->seconds > 0 ? now_ms() + (int64_t)run->seconds * 1000 : INT64_MAX;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	cleanup_fd int read_end = pipe_fds[0];
	int r = start(run, pipe_fds[1], &pid);
	(void)close(pipe_fds[1]);
	if (r < 0)
		return r;
	cleanup_fd int process = (int)syscall(SYS_pidfd_open, pid, 0);
	r = read_output(run, read_end, process, deadline, out);
	if (r == 0)
		r = wait_for(run, pid, deadline);
	if (r < 0)
		end(run, pid);
	return r;
}
