#include "cache/base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
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
	if (r == 0)
		r = posix_spawn_file_actions_addopen(actions, dropped, "/dev/null",
						     O_WRONLY, 0);
	/* dup2() onto itself is how close-on-exec is taken off here. */
	if (r == 0 && run->passed_fd > 0)
		r = posix_spawn_file_actions_adddup2(actions, run->passed_fd,
						     run->passed_fd);
	return r;
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
	char **args;
	cleanup_free char **environment = extend_environment(run->variable);
	memcpy(&args, &run->argv, sizeof(args)); /* posix_spawn does not write to them */
	if (!environment || posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	int r = redirect(run, output, &actions);
	if (r == 0)
		r = posix_spawnp(ret_pid, args[0], &actions, NULL, args, environment);
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
static int read_some(int fd, struct buffer *out)
{
	int r = buffer_reserve(out, 4096);
	if (r < 0)
		return r;
	ssize_t n = read(fd, out->data + out->size, out->room - out->size);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	out->size += (size_t)n;
	return n > 0;
}

static int read_output(int fd, int64_t deadline, size_t limit, struct buffer *out)
{
	for (;;) {
		int64_t left = deadline - now_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return ready < 0 ? -errno : -ETIMEDOUT;
		int r = read_some(fd, out);
		if (r <= 0)
			return r;
		if (out->size > limit)
			return -EFBIG;
	}
}

/* Waits for the end; a program that closed its output and runs on is killed in time. */
static int wait_for(pid_t pid, int64_t deadline)
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
		(void)poll(NULL, 0, 1);
	}
}

int run_program(const struct run *run, struct buffer *out)
{
	int pipe_fds[2];
	pid_t pid;
	int64_t deadline = now_ms() + (int64_t)run->seconds * 1000;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	cleanup_fd int read_end = pipe_fds[0];
	int r = start(run, pipe_fds[1], &pid);
	(void)close(pipe_fds[1]);
	if (r < 0)
		return r;
	r = read_output(read_end, deadline, run->limit, out);
	if (r == 0)
		r = wait_for(pid, deadline);
	if (r < 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	return r;
}
