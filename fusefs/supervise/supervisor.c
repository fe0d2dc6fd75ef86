#include "fusefs/supervise/supervisor.h"

#include "fusefs/supervise/answer.h"
#include "fusefs/supervise/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long a process is tried to be had, and how often. */
enum { START_MILLISECONDS = 10000, START_EVERY = 100 };

int64_t milliseconds(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void say(const struct supervisor *s, const char *format, ...)
{
	static const char who[] = "supervisor: ";
	char text[LOGFILE_LINE];
	va_list args;
	memcpy(text, who, sizeof(who));
	va_start(args, format);
	(void)vsnprintf(text + strlen(who), sizeof(text) - strlen(who), format, args);
	va_end(args);
	logfile_line(s->state_path, STDERR_FILENO, text);
}

int own_fd(int take_fd)
{
	if (take_fd < 0)
		return take_fd;
	int fd = fcntl(take_fd, F_DUPFD_CLOEXEC, OWN_FDS);
	int code = errno;
	(void)close(take_fd);
	return fd < 0 ? -code : fd;
}

int supervisor_start(struct supervisor *s)
{
	const struct worker_request request = { .program = s->program,
						.state_path = s->state_path,
						.words = s->words,
						.bell = s->bell,
						.gate = s->gate,
						.go = -1 };
	pid_t pid = worker_start(&request);
	if (pid < 0)
		return pid;
	s->worker = pid;
	if (s->adopted >= 0)
		(void)close(s->adopted);
	s->adopted = -1;
	atomic_store(&s->shared->worker, (int32_t)pid);
	return 0;
}

static void end(struct supervisor *s, int result)
{
	s->done = true;
	s->result = result;
}

/* For "status" of a mount that has ended so; the next mount removes it. */
static void give_up(struct supervisor *s, const char *why)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", s->state_path, ENDED_FILE);
	int fd =
	    n > 0 && n < (int)sizeof(path)
		? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)
		: -1;
	if (fd >= 0) {
		(void)dprintf(fd, "%lld %s\n", (long long)time(NULL), why);
		(void)close(fd);
	}
	end(s, 1);
}

/* Says when it begins to hang, and when that is over. */
static void watch(struct supervisor *s)
{
	int64_t stuck =
	    watch_look(&s->watch, s->shared, SHARED_FD, FUSE_FD, milliseconds());
	bool hangs = stuck >= WATCH_HANGS;
	if (hangs && !s->watch.said)
		say(s,
		    "the worker (pid %d) hangs: a request has waited for %lld seconds; "
		    "venvfs status tells more",
		    (int)s->worker, (long long)stuck / 1000);
	else if (!hangs && s->watch.said)
		say(s, "the worker (pid %d) answers again", (int)s->worker);
	s->watch.said = hangs;
}

bool supervisor_is_unmounted(void)
{
	struct pollfd fuse = { .fd = FUSE_FD };
	return poll(&fuse, 1, 0) > 0 && (fuse.revents & POLLERR);
}

static void describe(int status, char *ret_text, size_t size)
{
	if (status == STATUS_UNKNOWN)
		(void)snprintf(ret_text, size, "ended");
	else if (WIFEXITED(status))
		(void)snprintf(ret_text, size, "ended with status %d",
			       WEXITSTATUS(status));
	else
		(void)snprintf(ret_text, size, "ended with signal %d", WTERMSIG(status));
}

/*
 * Has it ended as it should, or never served (and said why to who asked)? After one that
 * was killed in the middle of its end another comes, which tidies up.
 */
static bool is_over(const struct supervisor *s, int status)
{
	if (status == STATUS_UNKNOWN)
		return supervisor_is_unmounted();
	if (atomic_load(&s->shared->init_size) == 0)
		return true;
	return WIFEXITED(status) &&
	       (WEXITSTATUS(status) == 0 || supervisor_is_unmounted());
}

static void try_start(struct supervisor *s)
{
	int64_t now = milliseconds();
	if (s->start_until == 0 || now < s->start_after)
		return;
	int r = supervisor_start(s);
	if (r == 0) {
		s->start_until = 0;
		return;
	}
	if (now >= s->start_until) {
		say(s, "cannot start another worker (%s); the mount ends", strerror(-r));
		give_up(s, "no other worker could be started");
	} else if (!s->start_failed) {
		say(s, "cannot start another worker (%s); this is tried for %d seconds",
		    strerror(-r), START_MILLISECONDS / 1000);
		s->start_failed = true;
	}
}

void supervisor_restart(struct supervisor *s, int64_t milliseconds_from_now)
{
	if (s->adopted >= 0)
		(void)close(s->adopted);
	s->adopted = -1;
	s->worker = 0;
	s->start_failed = false;
	s->start_after = milliseconds() + milliseconds_from_now;
	s->start_until = s->start_after + START_MILLISECONDS;
	try_start(s);
}

static void worker_ended(struct supervisor *s, int status)
{
	char how[40];
	uint64_t answered = atomic_load(&s->shared->answered);
	if (upgrade_takes_end(s))
		return;
	if (is_over(s, status)) {
		bool exited = status == STATUS_UNKNOWN || WIFEXITED(status);
		end(s, !exited ? 1 : status == STATUS_UNKNOWN ? 0 : WEXITSTATUS(status));
		return;
	}
	const char *why = deaths_note(&s->deaths, status, answered, milliseconds());
	describe(status, how, sizeof(how));
	say(s, "the worker (pid %d) %s%s%s", (int)s->worker, how,
	    why ? "; the mount ends, as " : "; another one starts", why ? why : "");
	if (why) {
		give_up(s, why);
		return;
	}
	(void)atomic_fetch_add(&s->shared->restarts, 1);
	supervisor_restart(s, status == STATUS_UNKNOWN || WIFSIGNALED(status)
				  ? 0
				  : deaths_pause(&s->deaths));
}

void supervisor_leave(struct supervisor *s)
{
	if (s->leaver <= 0)
		s->leaver = leaver_start(s->program, s->state_path);
}

static void take_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;
	if (read(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
		supervisor_leave(s);
	/* One signal may stand for several children. */
	while (!s->done && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->leaver)
			s->leaver = 0;
		notifier_child_ended(&s->notifiers, pid);
		if (pid == s->worker)
			worker_ended(s, status);
		else
			upgrade_child_ended(s, pid);
	}
}

int supervisor_take_signals(struct supervisor *s)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGPIPE);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = own_fd(signalfd(-1, &set, SFD_CLOEXEC));
	return s->signals < 0 ? s->signals : 0;
}

int supervisor_hang_bell(struct supervisor *s)
{
	if (s->bell < 0)
		s->bell = own_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	return s->bell < 0 ? s->bell : 0;
}

static void hear_bell(struct supervisor *s)
{
	uint64_t count;
	if (read(s->bell, &count, sizeof(count)) == (ssize_t)sizeof(count))
		supervisor_leave(s);
}

/*
 * Of several supervisors for one mount, one: its lock is in the state directory. That of
 * an earlier mount goes a moment after the mount's.
 */
static int take_guard(struct supervisor *s, int wait_milliseconds)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/supervisor", s->state_path);
	if (n < 0 || n >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = own_fd(open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int code = errno;
		if (code == EWOULDBLOCK && wait_milliseconds-- > 0) {
			(void)nanosleep(&pause, NULL);
			continue;
		}
		(void)close(fd);
		return -code;
	}
	s->guard = fd;
	return fd < 0 ? -errno : 0;
}

int supervisor_prepare(struct supervisor *s, int wait_milliseconds)
{
	int r = take_guard(s, wait_milliseconds);
	if (r == 0)
		r = supervisor_take_signals(s);
	if (r == 0)
		(void)sockets_listen(s);
	return r < 0 ? r : 0;
}

int supervisor_run(struct supervisor *s)
{
	atomic_store(&s->shared->supervisor, (int32_t)getpid());
	while (!s->done) {
		sockets_look(s);
		struct pollfd fds[] = { { .fd = s->signals, .events = POLLIN },
					{ .fd = s->listener, .events = POLLIN },
					{ .fd = s->adopted, .events = POLLIN },
					{ .fd = s->upgrade.words, .events = POLLIN },
					{ .fd = s->words },
					{ .fd = s->bell, .events = POLLIN } };
		int n = poll(fds, sizeof(fds) / sizeof(*fds),
			     s->start_until ? START_EVERY : WATCH_EVERY);
		if (n < 0 && errno != EINTR)
			break;
		watch(s);
		try_start(s);
		/* Who mounted has heard the word, or does not wait for it. */
		if (fds[4].revents) {
			(void)close(s->words);
			s->words = -1;
		}
		upgrade_look(s);
		/* Before that it has ended: it may have said why. */
		if (fds[3].revents)
			upgrade_hear(s);
		if (fds[0].revents)
			take_signal(s);
		if (fds[1].revents)
			answer_one(s);
		if (fds[5].revents)
			hear_bell(s);
		if (fds[2].revents && !s->done)
			worker_ended(s, STATUS_UNKNOWN);
	}
	sockets_remove(s);
	return s->result;
}
