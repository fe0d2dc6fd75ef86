#include "fusefs/serve/broker.h"

#include "cache/base/file.h"
#include "fusefs/serve/mounts.h"
#include "fusefs/supervise/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Under sudo nothing that the user can have a hand in may be looked up with root's
 * rights: not DIR, not the cache, not a library of some program. So the process forks
 * before the first path is touched. The child becomes the user and does all the work.
 * The parent stays root and knows: the user, the mount options (checked before), and
 * descriptors that the child sends. What it does with them:
 *
 * - mount at a directory that the descriptor is open on and that belongs to the user:
 *   whatever a path has become meanwhile, this directory is the one that was looked at;
 * - unmount what lies at one name in a directory, if that is a mount of ours that serves
 *   this user (mountinfo has user_id=): what fusermount3 lets its callers do;
 * - the read-ahead of such a mount.
 *
 * The child cannot be traced by the user before it executes something (it is not
 * dumpable after setresuid()), but nothing rests on that.
 */

enum { VERB_MOUNT, VERB_UNMOUNT, VERB_READ_AHEAD };

struct request {
	uint32_t verb;
	uint32_t flag;       /* read_only, or lazy */
	uint64_t device;     /* of VERB_READ_AHEAD */
	char path[PATH_MAX]; /* for messages; its last part is what is unmounted */
};

struct answer {
	int32_t result;
	struct error error;
};

struct rights {
	const struct account *account;
	const struct device_options *terms;
	int socket;
};

static int send_message(int socket, const void *bytes, size_t size, int fd)
{
	return descriptors_send(socket, bytes, size, &fd, fd >= 0 ? 1 : 0);
}

/* A whole message of this size; -ECONNRESET at the end. */
static int receive_message(int socket, void *bytes, size_t size, int *ret_fd)
{
	int received;
	ssize_t n = descriptors_receive_one(socket, bytes, size, &received);
	cleanup_fd int fd = received;
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	if ((size_t)n != size)
		return -EBADMSG;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/*
 * Directories of theirs that root must not mount over: programs believe what the kernel
 * shows of a process or a group of processes there.
 */
static bool is_the_kernel_s(int fd)
{
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return true;
	return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
	       fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC;
}

static int do_mount(const struct rights *rights, const struct request *q, int dirfd,
		    struct error *reterr)
{
	struct stat st;
	const struct account *account = rights->account;
	struct device_options options = *rights->terms;
	options.read_only = q->flag != 0;
	if (fstat(dirfd, &st) < 0)
		return error_errno(reterr, -errno, "cannot mount at '%s'", q->path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != account->uid)
		return error_set(reterr, -EPERM,
				 "cannot mount at '%s': it belongs to uid %u, not to "
				 "%s, whose mount this would be; choose a directory of "
				 "theirs, or --user",
				 q->path, (unsigned)st.st_uid, account->name);
	if (is_the_kernel_s(dirfd))
		return error_set(reterr, -EPERM,
				 "cannot mount at '%s': what lies there is the "
				 "kernel's; choose another directory",
				 q->path);
	return device_mount_for(q->path, dirfd, &options, account->uid, account->gid,
				reterr);
}

struct wanted {
	dev_t device;
	uid_t uid;
};

static int is_wanted_device(void *context, const struct mount_row *row)
{
	const struct wanted *w = context;
	return makedev(row->major, row->minor) == w->device && mounts_is_of(row, w->uid);
}

static int do_request(const struct rights *rights, const struct request *q, int fd,
		      struct error *reterr)
{
	struct wanted wanted = { .device = q->device, .uid = rights->account->uid };
	switch (q->verb) {
	case VERB_MOUNT:
		return fd < 0 ? -EBADMSG : do_mount(rights, q, fd, reterr);
	case VERB_UNMOUNT:
		return fd < 0 ? -EBADMSG
			      : device_unmount_in(fd, q->path, q->flag != 0,
						  rights->account->uid, reterr);
	case VERB_READ_AHEAD:
		if (mounts_each(is_wanted_device, &wanted) == 1)
			device_read_ahead(q->device);
		return 0;
	default:
		return -EBADMSG;
	}
}

/* False when the child has closed its end, or sent nonsense. */
static bool serve_one(const struct rights *rights)
{
	int received = -1;
	struct request q;
	struct answer a = { .error = ERROR_INIT };
	if (receive_message(rights->socket, &q, sizeof(q), &received) < 0)
		return false;
	cleanup_fd int fd = received;
	q.path[sizeof(q.path) - 1] = '\0';
	cleanup_fd int fuse = -1;
	a.result = do_request(rights, &q, fd, &a.error);
	if (q.verb == VERB_MOUNT && a.result >= 0) {
		fuse = a.result;
		a.result = 0;
	}
	return send_message(rights->socket, &a, sizeof(a), fuse) == 0;
}

/* Signals that the terminal has sent have reached the child too. */
static void relay_signal(int signals, pid_t child)
{
	struct signalfd_siginfo info;
	if (read(signals, &info, sizeof(info)) == sizeof(info) &&
	    info.ssi_signo != SIGCHLD && info.ssi_code != SI_KERNEL)
		(void)kill(child, (int)info.ssi_signo);
}

static int serve_until_end(const struct rights *rights, int signals, pid_t child)
{
	int status;
	pid_t ended;
	struct pollfd fds[] = { { .fd = signals, .events = POLLIN },
				{ .fd = rights->socket, .events = POLLIN } };
	while ((ended = waitpid(child, &status, WNOHANG)) == 0) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents)
			relay_signal(signals, child);
		if (fds[1].revents && !serve_one(rights))
			fds[1].fd = -1;
	}
	if (ended < 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int begin_child(const struct account *account, int socket, const sigset_t *mask,
		       struct broker *ret, struct error *reterr)
{
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	int r = account_become(account, reterr);
	*ret = (struct broker){ .socket = socket };
	return r;
}

int broker_split(const struct account *account, const struct device_options *terms,
		 struct broker *ret_broker, int *ret_status, struct error *reterr)
{
	int pair[2];
	sigset_t set;
	sigset_t before;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	cleanup_fd int ours = pair[0];
	cleanup_fd int theirs = pair[1];
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, &before);
	cleanup_fd int signals = signalfd(-1, &set, SFD_CLOEXEC);
	pid_t child = signals < 0 ? -1 : fork();
	if (child < 0)
		return error_errno(reterr, -errno, "cannot start a process");
	if (child == 0)
		return begin_child(account, steal_fd(&theirs), &before, ret_broker,
				   reterr);
	cleanup_close_fn(&theirs);
	theirs = -1;
	const struct rights rights = { account, terms, ours };
	*ret_status = serve_until_end(&rights, signals, child);
	return 1;
}

static int ask(const struct broker *broker, const struct request *q, int fd, int *ret_fd,
	       struct error *reterr)
{
	struct answer a;
	int r = send_message(broker->socket, q, sizeof(*q), fd);
	if (r == 0)
		r = receive_message(broker->socket, &a, sizeof(a), ret_fd);
	if (r < 0)
		return error_errno(reterr, r, "the process with root's rights is gone");
	return a.result == 0 ? 0 : error_set(reterr, a.result, "%s", a.error.text);
}

static int make_request(uint32_t verb, const char *path, bool flag, struct request *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->verb = verb;
	ret->flag = flag;
	if (strlen(path) >= sizeof(ret->path))
		return -ENAMETOOLONG;
	memcpy(ret->path, path, strlen(path));
	return 0;
}

int broker_mount(const struct broker *broker, const char *path, int dirfd, bool read_only,
		 struct error *reterr)
{
	struct request q;
	int fuse = -1;
	int r = make_request(VERB_MOUNT, path, read_only, &q);
	if (r == 0)
		r = ask(broker, &q, dirfd, &fuse, reterr);
	return r < 0 ? r : fuse;
}

int broker_unmount(const struct broker *broker, const char *path, bool lazy,
		   struct error *reterr)
{
	struct request q;
	int none = -1;
	int r = make_request(VERB_UNMOUNT, path, lazy, &q);
	cleanup_fd int fd = r < 0 ? r : device_open_parent(path);
	if (fd < 0)
		return error_errno(reterr, fd, "cannot unmount '%s'", path);
	return ask(broker, &q, fd, &none, reterr);
}

void broker_read_ahead(const struct broker *broker, dev_t device)
{
	struct request q;
	int none = -1;
	if (make_request(VERB_READ_AHEAD, "", false, &q) < 0)
		return;
	q.device = device;
	(void)ask(broker, &q, -1, &none, NULL);
}
