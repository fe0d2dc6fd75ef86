#include "cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
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

void interrupt_explain(void)
{
	/* By the time that it is raised again the default is back, which ends the program
	 * the way that shells expect. */
	struct sigaction action = { .sa_handler = on_signal,
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

void interrupt_die(int number)
{
	sigset_t set;
	(void)signal(number, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, number);
	(void)raise(number);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}
