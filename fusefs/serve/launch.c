#include "fusefs/serve/launch.h"

#include "cache/base/file.h"
#include "fusefs/serve/account.h"
#include "fusefs/supervise/logfile.h"
#include "fusefs/supervise/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* One that has said why it cannot serve is given time to end. */
enum { LONGEST_WORD = 2000, END_MILLISECONDS = 5000, FILES_MOST = 65536 };

/* Where the inherited descriptors are put, so that their numbers can be told. */
enum { FUSE_FD = 3, READY_FD = 4, LOCK_FD = 5, HOLD_FD = 7, FDS_END = GATE_FD + 1 };

struct programs {
	char venvfs[PATH_MAX], supervise[PATH_MAX];
};

/* The supervisor is installed beside venvfs. */
static int find_supervise(struct programs *p)
{
	static const char name[] = "venvfs-supervise";
	const char *slash = strrchr(p->venvfs, '/');
	int n = snprintf(p->supervise, PATH_MAX, "%.*s/%s",
			 (int)(slash ? slash - p->venvfs : 0), p->venvfs, name);
	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int find_programs(struct programs *p, struct error *reterr)
{
	ssize_t size = readlink("/proc/self/exe", p->venvfs, PATH_MAX - 1);
	if (size < 0)
		return error_errno(reterr, -errno, "cannot find venvfs-supervise");
	p->venvfs[size] = '\0';
	return find_supervise(p);
}

int launch_open_programs(const char *venvfs, int ret_fds[2], struct error *reterr)
{
	struct programs p;
	int r = 0;
	if (venvfs && !realpath(venvfs, p.venvfs))
		return error_errno(reterr, -errno, "cannot open '%s'", venvfs);
	r = venvfs ? find_supervise(&p) : find_programs(&p, reterr);
	if (r < 0)
		return r;
	cleanup_fd int program =
	    file_open(AT_FDCWD, venvfs ? p.venvfs : "/proc/self/exe", O_PATH, 0);
	cleanup_fd int supervise = file_open(AT_FDCWD, p.supervise, O_PATH, 0);
	if (program < 0 || supervise < 0)
		return error_errno(reterr, program < 0 ? program : supervise,
				   "cannot open '%s'",
				   program < 0 ? p.venvfs : p.supervise);
	ret_fds[0] = steal_fd(&program);
	ret_fds[1] = steal_fd(&supervise);
	return 0;
}

/* In a child: from here on only what may be done between fork() and exec(). */
static void leave_terminal(int log_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)setsid();
	(void)chdir("/");
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(log_fd, STDERR_FILENO);
}

/*
 * Those of who mounts are not those of a server for all: soft limits go, where that needs
 * no rights. What is too large for the hard one is EFBIG then for who writes it, which
 * the kernel says to them of their own limit before it asks, and no signal to the server.
 */
static void raise_limits(void)
{
	static const struct {
		__rlimit_resource_t what; /* glibc's: an enum, or int */
		rlim_t most;
	} limits[] = {
		{ RLIMIT_FSIZE, RLIM_INFINITY }, { RLIMIT_CPU, RLIM_INFINITY },
		{ RLIMIT_AS, RLIM_INFINITY },    { RLIMIT_DATA, RLIM_INFINITY },
		{ RLIMIT_NOFILE, FILES_MOST },
	};
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct rlimit limit;
		if (getrlimit(limits[i].what, &limit) < 0)
			continue;
		rlim_t wanted =
		    limit.rlim_max < limits[i].most ? limit.rlim_max : limits[i].most;
		if (wanted <= limit.rlim_cur)
			continue;
		limit.rlim_cur = wanted;
		(void)setrlimit(limits[i].what, &limit);
	}
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGXCPU, SIG_IGN);
}

_Noreturn static void run_supervisor(const struct programs *p, const char *mode,
				     const char *state_path, const char *socket_path)
{
	const char *argv[] = { "venvfs-supervise", mode,      state_path,
			       socket_path,        p->venvfs, NULL };
	sigset_t none;
	raise_limits();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execv(p->supervise, (char **)(uintptr_t)argv); /* it writes to none */
	(void)dprintf(READY_FD, "cannot run '%s': %s\n", p->supervise, strerror(errno));
	_exit(127);
}

_Noreturn static void become_supervisor(const struct launch *l, int ready_fd,
					const struct programs *p)
{
	leave_terminal(l->log_fd);
	/* First away from the numbers that they are going to, then there. */
	int fuse = fcntl(l->fuse_fd, F_DUPFD, FDS_END);
	int ready = fcntl(ready_fd, F_DUPFD, FDS_END);
	int lock = fcntl(l->lock_fd, F_DUPFD, FDS_END);
	int hold = l->hold_fd < 0 ? -1 : fcntl(l->hold_fd, F_DUPFD, FDS_END);
	int gate = l->gate_fd < 0 ? -1 : fcntl(l->gate_fd, F_DUPFD, FDS_END);
	(void)close_range(LOCK_FD + 1, FDS_END - 1, 0);
	if (dup2(fuse, FUSE_FD) < 0 || dup2(ready, READY_FD) < 0 ||
	    dup2(lock, LOCK_FD) < 0 || (l->hold_fd >= 0 && dup2(hold, HOLD_FD) < 0) ||
	    (l->gate_fd >= 0 && dup2(gate, GATE_FD) < 0) ||
	    close_range(FDS_END, ~0u, 0) < 0 || account_keep_only_mounting() < 0)
		_exit(127);
	run_supervisor(p, "mount", l->state_path, l->socket_path);
}

_Noreturn static void become_follower(const struct launch *l, int ready_fd,
				      const struct programs *p)
{
	leave_terminal(l->log_fd);
	if (dup2(ready_fd, READY_FD) < 0 || close_range(READY_FD + 1, ~0u, 0) < 0 ||
	    account_keep_only_mounting() < 0)
		_exit(127);
	(void)close(FUSE_FD);
	run_supervisor(p, "follow", l->state_path, l->socket_path);
}

/* There is something to read, or its end; -EINTR: a signal came first. */
static int wait_for_bytes(int fd, int signals)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
				{ .fd = signals, .events = POLLIN } };
	while (poll(fds, 2, -1) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return fds[1].revents ? -EINTR : 0;
}

/* "ready", a line that says what went wrong, or nothing when the server died. */
static int wait_for_word(int fd, int signals, struct error *reterr)
{
	char word[LONGEST_WORD + 1] = "";
	size_t size = 0;
	ssize_t n = 1;
	while (n > 0 && size < LONGEST_WORD && !memchr(word, '\n', size)) {
		int r = wait_for_bytes(fd, signals);
		if (r < 0)
			return error_set(reterr, r, "interrupted");
		n = read(fd, word + size, LONGEST_WORD - size);
		size += n > 0 ? (size_t)n : 0;
	}
	word[size] = '\0';
	word[strcspn(word, "\n")] = '\0';
	if (strcmp(word, "ready") == 0)
		return 0;
	return error_set(reterr, -EIO, "%s",
			 size > 0 ? word : "the server ended before it served");
}

typedef void becoming(const struct launch *l, int ready_fd, const struct programs *p);

static int start(const struct launch *launch, becoming *become, struct launched *ret,
		 struct error *reterr)
{
	struct programs programs;
	int pair[2];
	int r = find_programs(&programs, reterr);
	if (r < 0)
		return r;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	cleanup_fd int read_end = pair[0];
	pid_t pid = fork();
	if (pid == 0)
		become(launch, pair[1], &programs);
	(void)close(pair[1]);
	if (pid < 0)
		return error_errno(reterr, -errno, "cannot start a server");
	*ret = (struct launched){ .pid = pid, .ready = steal_fd(&read_end) };
	return 0;
}

int launch_server(const struct launch *launch, struct launched *ret, struct error *reterr)
{
	return start(launch, become_supervisor, ret, reterr);
}

/*
 * The supervisor leads a group that its workers are in, once it has got so far; until
 * then it has none. Its number is its own, and the group's, until it was waited for.
 */
static void end_all(pid_t supervisor, int milliseconds)
{
	cleanup_fd int process = (int)syscall(SYS_pidfd_open, supervisor, 0);
	struct pollfd end = { .fd = process, .events = POLLIN };
	if (process < 0 || poll(&end, 1, milliseconds) <= 0) {
		(void)kill(-supervisor, SIGKILL);
		(void)kill(supervisor, SIGKILL);
	}
	siginfo_t info;
	(void)waitid(P_PID, (id_t)supervisor, &info, WEXITED | WNOWAIT);
	(void)kill(-supervisor, SIGKILL);
	(void)waitpid(supervisor, NULL, 0);
}

int launch_wait(struct launched *l, int signals, struct error *reterr)
{
	cleanup_fd int ready = steal_fd(&l->ready);
	int r = wait_for_word(ready, signals, reterr);
	if (r < 0)
		end_all(l->pid, r == -EINTR ? 0 : END_MILLISECONDS);
	return r;
}

void launch_let_end(struct launched *l)
{
	cleanup_close_fn(&l->ready);
	l->ready = -1;
	end_all(l->pid, END_MILLISECONDS);
}

void launch_end(const struct launched *l)
{
	end_all(l->pid, 0);
}

int launch_follower(const char *state_path, const char *socket_path, struct error *reterr)
{
	struct launched follower;
	cleanup_fd int log = logfile_open(state_path);
	const struct launch launch = { .state_path = state_path,
				       .socket_path = socket_path,
				       .log_fd = log };
	if (log < 0)
		return error_errno(reterr, log, "cannot write to '%s/log'", state_path);
	int r = start(&launch, become_follower, &follower, reterr);
	return r < 0 ? r : launch_wait(&follower, -1, reterr);
}
