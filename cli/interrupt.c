#include "cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Only what may be called in a handler. */
static void on_signal(int number)
{
	static const char line[] =
	    "venvfs: interrupted; the next run carries on with what has come so far\n";
	static const char erase[] = "\r\033[K";
	int before = errno;
	ssize_t n = 0;
	if (isatty(STDERR_FILENO) == 1)
		n = write(STDERR_FILENO, erase, sizeof(erase) - 1);
	if (n >= 0)
		n = write(STDERR_FILENO, line, sizeof(line) - 1);
	(void)n;
	(void)raise(number);
	errno = before;
}

/* Whom nobody told to ignore them has them handled so. */
static void handle_by(void (*handler)(int))
{
	/* By the time that it is raised again the default is back, which ends the program
	 * the way that shells expect. */
	struct sigaction action = { .sa_handler = handler,
				    .sa_flags = (int)SA_RESETHAND };
	struct sigaction before;
	static const int numbers[] = { SIGINT, SIGTERM };
	(void)sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		if (sigaction(numbers[i], NULL, &before) == 0 &&
		    before.sa_handler != SIG_IGN)
			(void)sigaction(numbers[i], &action, NULL);
	}
}

void interrupt_explain(void)
{
	handle_by(on_signal);
}

void interrupt_explain_no_more(void)
{
	handle_by(SIG_DFL);
}

/* Those that are not ignored. */
static void deadly_signals(sigset_t *ret)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action;
	(void)sigemptyset(ret);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		if (sigaction(numbers[i], NULL, &action) == 0 &&
		    action.sa_handler != SIG_IGN)
			(void)sigaddset(ret, numbers[i]);
	}
}

int interrupt_hold(void)
{
	sigset_t signals;
	deadly_signals(&signals);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

void interrupt_let_go(int fd)
{
	sigset_t signals;
	deadly_signals(&signals);
	if (fd >= 0)
		(void)close(fd);
	(void)sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

void interrupt_die(int number)
{
	sigset_t set;
	(void)signal(number, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, number);
	(void)raise(number);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}
