#include "fusefs/serve/launch.h"

#include "cache/base/file.h"
#include "fusefs/serve/account.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST_WORD = 2000 };

/* Where the inherited descriptors are put, so that their numbers can be told. */
enum { FUSE_FD = 3, READY_FD = 4, LOCK_FD = 5, FDS_END = 6 };

/* The supervisor is installed beside us. */
static int find_programs(char venvfs[PATH_MAX], char supervise[PATH_MAX])
{
	static const char name[] = "venvfs-supervise";
	ssize_t size = readlink("/proc/self/exe", venvfs, PATH_MAX - 1);
	if (size < 0)
		return -errno;
	venvfs[size] = '\0';
	const char *slash = strrchr(venvfs, '/');
	int n = snprintf(supervise, PATH_MAX, "%.*s/%s",
			 (int)(slash ? slash - venvfs : 0), venvfs, name);
	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* In the child: from here on only what may be done between fork() and exec(). */
_Noreturn static void become_supervisor(const struct launch *l, int ready_fd,
					const char *venvfs, const char *supervise)
{
	const char *argv[] = { "venvfs-supervise", venvfs, l->state_path, l->socket_path,
			       NULL };
	char **args = (char **)(uintptr_t)argv; /* exec does not write to them */
	sigset_t none;
	if (!l->foreground)
		(void)setsid();
	(void)chdir("/");
	/* First away from the numbers that they are going to, then there. */
	int fuse = fcntl(l->fuse_fd, F_DUPFD, FDS_END);
	int ready = fcntl(ready_fd, F_DUPFD, FDS_END);
	int lock = fcntl(l->lock_fd, F_DUPFD, FDS_END);
	int log = fcntl(l->log_fd, F_DUPFD, FDS_END);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool done = dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
		    dup2(log, STDERR_FILENO) >= 0 && dup2(fuse, FUSE_FD) >= 0 &&
		    dup2(ready, READY_FD) >= 0 && dup2(lock, LOCK_FD) >= 0 &&
		    close_range(LOCK_FD + 1, ~0u, 0) == 0 &&
		    account_keep_only_mounting() == 0;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (done)
		(void)execv(supervise, args);
	if (done)
		(void)dprintf(READY_FD, "cannot run '%s': %s\n", supervise,
			      strerror(errno));
	_exit(127);
}

/* "ready", a line that says what went wrong, or nothing when the server died. */
static int wait_for_word(int fd, struct error *reterr)
{
	char word[LONGEST_WORD + 1];
	size_t size = 0;
	ssize_t n;
	do {
		n = read(fd, word + size, LONGEST_WORD - size);
		if (n > 0)
			size += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	word[size] = '\0';
	word[strcspn(word, "\n")] = '\0';
	if (strcmp(word, "ready") == 0)
		return 0;
	return error_set(reterr, -EIO, "%s",
			 size > 0 ? word : "the server ended before it served");
}

int launch_server(const struct launch *launch, struct launched *ret, struct error *reterr)
{
	char venvfs[PATH_MAX];
	char supervise[PATH_MAX];
	int pair[2];
	int r = find_programs(venvfs, supervise);
	if (r < 0)
		return error_errno(reterr, r, "cannot find venvfs-supervise");
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	cleanup_fd int read_end = pair[0];
	pid_t pid = fork();
	if (pid == 0)
		become_supervisor(launch, pair[1], venvfs, supervise);
	(void)close(pair[1]);
	if (pid < 0)
		return error_errno(reterr, -errno, "cannot start a server");
	*ret = (struct launched){ .pid = pid, .ready = steal_fd(&read_end) };
	return 0;
}

int launch_wait(struct launched *l, struct error *reterr)
{
	cleanup_fd int ready = steal_fd(&l->ready);
	int r = wait_for_word(ready, reterr);
	if (r < 0)
		(void)waitpid(l->pid, NULL, 0);
	return r;
}
