#include "fusefs/supervise/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WITHIN_MILLISECONDS = 10000, CRASHES = 3, IDLE_MOST = 20 };

/* With the first descriptors up to `end` and no other. */
static pid_t run(const char *venvfs, const char *const argv[], unsigned end)
{
	sigset_t none;
	pid_t pid = fork();
	if (pid != 0)
		return pid < 0 ? -errno : pid;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)close_range(end, ~0u, 0);
	(void)execv(venvfs, (char **)(uintptr_t)argv); /* exec does not write to them */
	_exit(127);
}

pid_t worker_start(const char *venvfs, const char *state_path, bool first)
{
	const char *const argv[] = { "venvfs",          "serve-mount", state_path, "3",
				     first ? "4" : "-", "5",           "6",        NULL };
	return run(venvfs, argv, FDS_END);
}

pid_t leaver_start(const char *venvfs, const char *state_path)
{
	const char *const argv[] = { "venvfs", "leave-mount", state_path, NULL };
	return run(venvfs, argv, STDERR_FILENO + 1);
}

static bool is_crash(int wait_status)
{
	return WIFSIGNALED(wait_status) && WTERMSIG(wait_status) != SIGKILL;
}

const char *deaths_note(struct deaths *d, int wait_status, uint64_t answered, int64_t now)
{
	d->idle = answered == d->answered ? d->idle + 1 : 0;
	d->answered = answered;
	if (d->idle >= IDLE_MOST)
		return "it died twenty times in a row without an answered request";
	if (!is_crash(wait_status))
		return NULL;
	memmove(d->when, d->when + 1, (CRASHES - 1) * sizeof(*d->when));
	d->when[CRASHES - 1] = now;
	return d->when[0] != 0 && now - d->when[0] < WITHIN_MILLISECONDS
		   ? "it crashed three times within ten seconds"
		   : NULL;
}
