/*
 * The supervisor of a mount: it holds /dev/fuse open, so that the mount lives on when the
 * process that serves it dies, and starts another one then. It does nothing else that
 * could fail: it maps a page of memory that it shares with the worker, answers "status"
 * from it, and waits. `venvfs` starts it: for a new mount with what it inherits, or for
 * one whose supervisor has died.
 */
#include "fusefs/supervise/supervisor.h"
#include "fusefs/supervise/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { GUARD_MILLISECONDS = 10000 };

/* At a number that is promised to the workers, who inherit it. */
static int make_shared(struct supervisor *s, const char **ret_hint)
{
	int fd = memfd_create("venvfs", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)SHARED_SIZE) < 0) {
		*ret_hint = errno == EFBIG ? " (its memory is a file of 2.1 GiB, "
					     "nearly all a hole, and ulimit -f is less)"
					   : "";
		return -errno;
	}
	if (fd != SHARED_FD) {
		if (dup2(fd, SHARED_FD) < 0)
			return -errno;
		(void)close(fd);
	}
	if (fcntl(SHARED_FD, F_SETFD, 0) < 0)
		return -errno;
	void *map =
	    mmap(NULL, SHARED_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (map == MAP_FAILED)
		return -errno;
	s->shared = map;
	s->shared->magic = SHARED_MAGIC;
	s->shared->version = SHARED_VERSION;
	s->shared->since = time(NULL);
	return 0;
}

static int open_program(struct supervisor *s, const char *venvfs)
{
	s->program = own_fd(open(venvfs, O_PATH | O_CLOEXEC));
	return s->program < 0 ? s->program : 0;
}

/*
 * A lock for the life of the mount (on --upper): open here, and in what this becomes by
 * exec, but not in workers.
 */
static void keep_hold(void)
{
	if (fcntl(HOLD_FD, F_DUPFD, OWN_FDS) >= 0)
		(void)close(HOLD_FD);
}

/* A new mount: what `venvfs mount` has opened is at FUSE_FD, READY_FD and LOCK_FD. */
static int begin(struct supervisor *s, const char *venvfs)
{
	const char *hint = "";
	keep_hold();
	/* First of all: its number is promised. */
	int r = make_shared(s, &hint);
	/* Kept until the word was heard: the first worker may die before it says it. */
	s->words = own_fd(READY_FD);
	if (fcntl(GATE_FD, F_GETFD) >= 0)
		s->gate = own_fd(GATE_FD);
	if (r == 0)
		r = open_program(s, venvfs);
	if (r == 0)
		r = supervisor_hang_bell(s);
	if (r == 0)
		r = supervisor_prepare(s, GUARD_MILLISECONDS);
	if (r == 0 && s->listener < 0)
		r = sockets_listen(s); /* which says why not */
	if (r == 0)
		r = supervisor_start(s);
	if (s->gate >= 0)
		(void)close(s->gate);
	s->gate = -1;
	if (r < 0) {
		(void)dprintf(s->words, "cannot start a server: %s%s\n", strerror(-r),
			      hint);
		return 1;
	}
	return supervisor_run(s);
}

/* A mount whose supervisor has died. Of several who come to follow it, one does. */
static int follow(struct supervisor *s, const char *venvfs)
{
	const char *why = "cannot open venvfs";
	int r = open_program(s, venvfs);
	if (r == 0)
		r = takeover(s, &why);
	if (r == 0) {
		why = "cannot listen";
		r = supervisor_hang_bell(s);
		if (r == 0)
			r = supervisor_prepare(s, 0);
	}
	if (r < 0 && r != -EWOULDBLOCK) {
		(void)dprintf(READY_FD, "%s (%s)\n", why, strerror(-r));
		return 1;
	}
	(void)dprintf(READY_FD, "ready\n");
	(void)close(READY_FD);
	if (r < 0)
		return 0;
	say(s, "follows one that has died; the worker (pid %d) has served on",
	    (int)s->worker);
	return supervisor_run(s);
}

/* One that has become this version by exec, in the middle of an upgrade. */
static int go_on(struct supervisor *s, char **numbers)
{
	int r = takeover_map(s);
	if (r == 0 && !upgrade_resume(s, numbers))
		r = -EINVAL;
	if (r == 0)
		r = supervisor_take_signals(s);
	if (r == 0)
		r = supervisor_hang_bell(s);
	if (r < 0) {
		say(s, "the upgraded supervisor cannot go on: %s", strerror(-r));
		return 1;
	}
	upgrade_end_old(s);
	return supervisor_run(s);
}

/* Before an upgrade: could this version go on with what an earlier one has? */
static int check(void)
{
	enum { OTHER_VERSION = 3 };
	struct supervisor s = { .guard = -1 };
	int r = takeover_map(&s);
	return r == -EPROTO ? OTHER_VERSION : r < 0;
}

int main(int argc, char **argv)
{
	enum { MODE = 1, STATE, SOCKET, VENVFS, ARGUMENTS };
	struct supervisor s = { .guard = -1,
				.listener = -1,
				.signals = -1,
				.bell = -1,
				.gate = -1,
				.adopted = -1,
				.words = -1,
				.upgrade = UPGRADE_INIT };
	if (argc == STATE && strcmp(argv[MODE], "check") == 0)
		return check();
	if (argc >= ARGUMENTS) {
		(void)prctl(PR_SET_NAME, "venvfs-super");
		s.state_path = argv[STATE];
		s.socket_path = argv[SOCKET];
		if (strcmp(argv[MODE], "mount") == 0)
			return begin(&s, argv[VENVFS]);
		if (strcmp(argv[MODE], "follow") == 0)
			return follow(&s, argv[VENVFS]);
		if (strcmp(argv[MODE], "upgraded") == 0)
			return go_on(&s, argv + VENVFS);
	}
	(void)fprintf(stderr, "venvfs-supervise: this is for venvfs only\n");
	return 2;
}
