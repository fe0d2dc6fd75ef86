#include "cli/progress.h"

#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24, NARROWEST = 48, USUAL = 80, NAME_SIZE = 256, MILLISECONDS = 100 };

static bool has_terminal(void)
{
	const char *terminal = getenv("TERM");
	return isatty(STDERR_FILENO) == 1 && !(terminal && strcmp(terminal, "dumb") == 0);
}

static size_t columns(void)
{
	struct winsize size;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
		   ? size.ws_col
		   : USUAL;
}

static bool is_due(struct progress *p, bool last)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	uint64_t now = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	if (!last && now - p->when < MILLISECONDS)
		return false;
	p->when = now;
	return has_terminal();
}

void progress_hide(struct progress *p)
{
	if (!p->visible)
		return;
	p->visible = false;
	(void)fprintf(stderr, "\r\033[K");
	(void)fflush(stderr);
}

void progress_show(struct progress *p, size_t done, size_t count, const char *what)
{
	const struct progress_of of = { done, count, done, count, what };
	progress_show_part(p, &of);
}

void progress_show_part(struct progress *p, const struct progress_of *of)
{
	char bar[BAR + 1];
	char counts[48];
	char name[NAME_SIZE];
	if (of->count == 0 || !is_due(p, of->done >= of->count))
		return;
	double part = of->whole > 0 ? (double)of->part / (double)of->whole : 0;
	size_t filled = part >= 1 ? BAR : (size_t)(part * BAR);
	memset(bar, '-', BAR);
	memset(bar, '#', filled);
	bar[BAR] = '\0';
	(void)snprintf(counts, sizeof(counts), "%zu/%zu", of->done, of->count);
	/* One that is broken by the terminal could not be written over. */
	size_t width = columns();
	size_t used = BAR + strlen(counts) + strlen("[]  ") + 1;
	size_t room = width > used ? width - used : 0;
	(void)snprintf(name, sizeof(name), "%.*s", (int)room,
		       width < NARROWEST ? "" : of->what);
	make_printable(name);
	(void)fprintf(stderr, "\r\033[K[%s] %s %s", bar, counts, name);
	(void)fflush(stderr);
	p->visible = true;
	if (of->done >= of->count)
		progress_hide(p);
}
