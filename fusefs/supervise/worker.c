#include "fusefs/supervise/worker.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WITHIN_MILLISECONDS = 10000, CRASHES = 3, IDLE_MOST = 20 };

_Noreturn static void run(int program, const char *const argv[])
{
	sigset_t none;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)fexecve(program, (char **)(uintptr_t)argv, environ); /* it writes to none */
	_exit(127);
}

/* In the child: what it inherits stands at the numbers that it is told. */
static void place_descriptors(const struct worker_request *q)
{
	(void)close_range(GO_FD, ~0u, CLOSE_RANGE_CLOEXEC);
	if (q->words >= 0)
		(void)dup2(q->words, READY_FD);
	if (q->go >= 0)
		(void)dup2(q->go, GO_FD);
	if (q->bell >= 0)
		(void)dup2(q->bell, BELL_FD);
	if (q->gate >= 0)
		(void)dup2(q->gate, GATE_FD);
}

pid_t worker_start(const struct worker_request *q)
{
	const char *argv[] = { "venvfs",
			       "serve-mount",
			       q->state_path,
			       "3",
			       q->words >= 0 ? "4" : "-",
			       "5",
			       "6",
			       q->go >= 0 ? "7" : NULL,
			       NULL };
	pid_t pid = fork();
	if (pid != 0)
		return pid < 0 ? -errno : pid;
	place_descriptors(q);
	run(q->program, argv);
}

pid_t leaver_start(int program, const char *state_path)
{
	const char *const argv[] = { "venvfs", "leave-mount", state_path, NULL };
	pid_t pid = fork();
	if (pid != 0)
		return pid < 0 ? -errno : pid;
	(void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	run(program, argv);
}

static bool is_crash(int wait_status)
{
	return wait_status != STATUS_UNKNOWN && WIFSIGNALED(wait_status) &&
	       WTERMSIG(wait_status) != SIGKILL;
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

int64_t deaths_pause(const struct deaths *d)
{
	enum { STEP = 100, MOST = 500 };
	int64_t pause = d->idle > 1 ? (int64_t)(d->idle - 1) * STEP : 0;
	return pause < MOST ? pause : MOST;
}
