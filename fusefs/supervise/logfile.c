#include "fusefs/supervise/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool make_path(char ret_path[PATH_MAX], const char *state_path, const char *name)
{
	int n = snprintf(ret_path, PATH_MAX, "%s/%s", state_path, name);
	return n > 0 && n < PATH_MAX;
}

/* What stands in its place is not waited for, were it a fifo. */
static int open_log(const char *path)
{
	int fd = open(path,
		      O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		      0600);
	return fd < 0 ? -errno : fd;
}

static bool is_named(const struct stat *st, const char *path)
{
	struct stat named;
	return lstat(path, &named) == 0 && named.st_dev == st->st_dev &&
	       named.st_ino == st->st_ino;
}

/*
 * Under a lock of the large file: of several who want to move it, one does. The lock is
 * taken by a descriptor opened for it, as those that the processes of a mount inherit
 * count as one.
 */
static void move_away(const char *path, const char *old)
{
	struct stat st;
	int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX) == 0 && fstat(fd, &st) == 0 &&
	    st.st_size >= LOGFILE_MOST && is_named(&st, path))
		(void)rename(path, old);
	(void)close(fd);
}

int logfile_open(const char *state_path)
{
	char path[PATH_MAX];
	char old[PATH_MAX];
	struct stat st;
	if (!make_path(path, state_path, "log") || !make_path(old, state_path, "log.old"))
		return -ENAMETOOLONG;
	if (lstat(path, &st) == 0 && st.st_size >= LOGFILE_MOST)
		move_away(path, old);
	return open_log(path);
}

static void follow(const char *state_path, int fd)
{
	char path[PATH_MAX];
	struct stat st;
	if (!make_path(path, state_path, "log") || fstat(fd, &st) < 0 ||
	    (st.st_size < LOGFILE_MOST && is_named(&st, path)))
		return;
	int next = logfile_open(state_path);
	if (next < 0)
		return; /* a log in the wrong file is better than none */
	(void)dup3(next, fd, fd > STDERR_FILENO ? O_CLOEXEC : 0);
	(void)close(next);
}

void logfile_line(const char *state_path, int fd, const char *text)
{
	char line[LOGFILE_LINE];
	struct tm tm;
	time_t now = time(NULL);
	size_t size = gmtime_r(&now, &tm)
			  ? strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ ", &tm)
			  : 0;
	size_t more = strlen(text);
	if (more > sizeof(line) - size - 1)
		more = sizeof(line) - size - 1;
	memcpy(line + size, text, more);
	size += more;
	line[size++] = '\n';
	follow(state_path, fd);
	ssize_t ignored = write(fd, line, size);
	(void)ignored;
}
