#include "cli/exec_mount.h"

#include "cache/base/bytes.h"
#include "cache/base/file.h"
#include "fusefs/serve/account.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/launch.h"
#include "fusefs/supervise/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The command is executed in this very process, so that its status, its signals and its
 * terminal need nobody to pass them on. The server must not be in the namespace that the
 * mount is in: the namespace ends with its last process, and the mount with it. So a
 * helper is forked before, which stays outside, is sent the descriptor of /dev/fuse, and
 * starts the server. Without a namespace of its own the helper stays: it watches this
 * process, by a pidfd, and unmounts when it has ended. It is nobody's child that the
 * command could wait for by accident.
 */

struct answer {
	int32_t result;
	struct error error;
};

struct helper {
	const struct exec_place *place;
	const struct plan *plan;
	int socket;  /* the helper's end */
	int process; /* a pidfd of who becomes the command */
};

static int send_fd(int socket, int fd, bool private)
{
	char byte = private ? 1 : 0;
	return descriptors_send(socket, &byte, sizeof(byte), &fd, 1);
}

static int receive_fd(int socket, bool *ret_private)
{
	char byte = 0;
	int fd;
	ssize_t n = descriptors_receive_one(socket, &byte, sizeof(byte), &fd);
	if (n <= 0)
		return -ECONNRESET; /* there will be no mount */
	*ret_private = byte != 0;
	return fd < 0 ? -EIO : fd;
}

/* --- the helper --- */

static int serve(const struct helper *h, int fuse, struct error *reterr)
{
	struct launched server;
	cleanup_fd int log = file_open_beneath(state_fd(h->place->state), "log",
					       O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (log < 0)
		return error_errno(reterr, log, "cannot write to '%s/log'",
				   state_path(h->place->state));
	const struct launch request = { .state_path = state_path(h->place->state),
					.socket_path = h->plan->socket,
					.fuse_fd = fuse,
					.lock_fd = h->place->lock,
					.hold_fd = -1,
					.gate_fd = -1,
					.log_fd = log };
	int r = launch_server(&request, &server, reterr);
	return r < 0 ? r : launch_wait(&server, -1, reterr);
}

/* Nothing of the command's is held open meanwhile: a pipe's reader waits for its end. */
static void watch(const struct helper *h)
{
	struct pollfd p = { .fd = h->process, .events = POLLIN };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)chdir("/");
	for (int fd = 0; fd <= 2; fd++)
		(void)dup2(null, fd);
	/* Whatever else was inherited: all but the pidfd. */
	(void)dup2(h->process, 3);
	(void)close_range(4, ~0u, 0);
	p.fd = 3;
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	(void)device_unmount(h->plan->path, true, NULL, NULL);
}

_Noreturn static void be_helper(const struct helper *h)
{
	bool private = false;
	struct answer answer = { .error = ERROR_INIT };
	(void)setsid();
	cleanup_fd int fuse = receive_fd(h->socket, &private);
	if (fuse < 0)
		_exit(0);
	answer.result = serve(h, fuse, &answer.error);
	(void)close(steal_fd(&fuse));
	(void)send(h->socket, &answer, sizeof(answer), MSG_NOSIGNAL);
	if (answer.result == 0 && !private)
		watch(h);
	_exit(0);
}

/* Forks twice, so that it is no child of ours. */
static int start_helper(const struct exec_place *place, const struct plan *plan,
			int *ret_socket)
{
	int pair[2];
	int status;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	cleanup_fd int ours = pair[0];
	cleanup_fd int theirs = pair[1];
	cleanup_fd int process = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (process < 0)
		return -errno;
	const struct helper h = { place, plan, theirs, process };
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(ours);
		if (fork() == 0)
			be_helper(&h);
		_exit(0);
	}
	if (pid < 0)
		return -errno;
	(void)waitpid(pid, &status, 0);
	*ret_socket = steal_fd(&ours);
	return 0;
}

/* --- this process --- */

static int write_text(const char *path, const char *text)
{
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_WRONLY, 0);
	return fd < 0 ? fd : file_write_all(fd, text, strlen(text));
}

/* Everybody stays who they are; others are nobody in it. */
static int map_ids(uid_t uid, gid_t gid)
{
	char text[64];
	(void)snprintf(text, sizeof(text), "%u %u 1\n", uid, uid);
	int r = write_text("/proc/self/uid_map", text);
	if (r == 0)
		r = write_text("/proc/self/setgroups", "deny");
	(void)snprintf(text, sizeof(text), "%u %u 1\n", gid, gid);
	return r < 0 ? r : write_text("/proc/self/gid_map", text);
}

/*
 * May one be made? A user namespace cannot be left again, and where its maps may not be
 * written it is of no use: that is tried in a child.
 */
static bool may_have_users(void)
{
	int status;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || map_ids(uid, gid) < 0 ||
		      mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
		      access("/dev/fuse", R_OK | W_OK) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* false: mounts are seen by everybody. */
static bool go_private(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (!account_may_mount() || unshare(CLONE_NEWNS) < 0) {
		if (!may_have_users() || unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
		    map_ids(uid, gid) < 0)
			return false;
	}
	/* What others mount later is seen here, and nothing of ours by them. */
	return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0;
}

static int wait_for_server(int socket, struct error *reterr)
{
	struct answer answer;
	ssize_t n = recv(socket, &answer, sizeof(answer), 0);
	if (n != sizeof(answer))
		return error_set(reterr, -EIO, "the server could not be started");
	return answer.result < 0
		   ? error_set(reterr, answer.result, "%s", answer.error.text)
		   : 0;
}

static int mount_here(const struct plan *plan, int socket, bool private,
		      struct error *reterr)
{
	struct stat st;
	const struct device_options options = { .source = "venvfs",
						.options = "",
						.read_only = !*plan->upper };
	cleanup_fd int dir =
	    file_open(AT_FDCWD, plan->path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0)
		return error_errno(reterr, dir, "cannot mount at '%s'", plan->path);
	cleanup_fd int fuse = device_mount(plan->path, dir, &options, reterr);
	if (fuse < 0)
		return fuse;
	int r = send_fd(socket, fuse, private);
	/* Only the server shall hold it: the mount is dead when that is. */
	(void)close(steal_fd(&fuse));
	if (r == 0)
		r = wait_for_server(socket, reterr);
	if (r == 0 && stat(plan->path, &st) < 0)
		r = error_errno(reterr, -errno, "the mount at '%s' does not answer",
				plan->path);
	if (r < 0)
		(void)device_unmount(plan->path, true, NULL, NULL);
	else
		device_read_ahead(st.st_dev);
	return r;
}

int exec_mount(const struct exec_place *place, const struct plan *plan, bool *ret_private,
	       struct error *reterr)
{
	cleanup_fd int socket = -1;
	int r = start_helper(place, plan, &socket);
	if (r < 0)
		return error_errno(reterr, r, "cannot start a server");
	*ret_private = go_private();
	return mount_here(plan, socket, *ret_private, reterr);
}
