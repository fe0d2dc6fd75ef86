#include "fusefs/supervise/notifier.h"

#include "fusefs/supervise/notify.h"
#include "fusefs/supervise/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SOCKET_FD = FUSE_FD + 1, EXPIRE_ONLY = 1 /* FUSE_EXPIRE_ONLY, of Linux 6.2 */ };

/* fuse_notify_inval_entry_out, whose flags older headers do not name. */
struct entry_notice {
	uint64_t parent;
	uint32_t length, flags;
};

struct message {
	struct fuse_out_header header; /* its `error` says what is notified of */
	union {
		struct fuse_notify_inval_inode_out node;
		struct entry_notice entry;
		struct fuse_notify_delete_out gone;
	} body;
	char name[NOTICE_NAME];
};

static void add_name(struct message *m, size_t body, const char *name)
{
	size_t size = strlen(name) + 1;
	memcpy((char *)m + sizeof(m->header) + body, name, size);
	m->header.len = (uint32_t)(sizeof(m->header) + body + size);
}

static bool make_message(const struct notice *notice, struct message *m)
{
	uint32_t length = (uint32_t)strlen(notice->name);
	*m = (struct message){ .header = { .len = sizeof(m->header) } };
	switch (notice->kind) {
	case NOTICE_NODE:
		m->header.error = FUSE_NOTIFY_INVAL_INODE;
		m->body.node.ino = notice->node;
		m->header.len += sizeof(m->body.node);
		return true;
	case NOTICE_ENTRY:
	case NOTICE_EXPIRE:
		m->header.error = FUSE_NOTIFY_INVAL_ENTRY;
		m->body.entry = (struct entry_notice){
			.parent = notice->parent,
			.length = length,
			.flags = notice->kind == NOTICE_EXPIRE ? EXPIRE_ONLY : 0,
		};
		add_name(m, sizeof(m->body.entry), notice->name);
		return length > 0;
	case NOTICE_DELETE:
		m->header.error = FUSE_NOTIFY_DELETE;
		m->body.gone = (struct fuse_notify_delete_out){ .parent = notice->parent,
								.child = notice->node,
								.namelen = length };
		add_name(m, sizeof(m->body.gone), notice->name);
		return length > 0;
	default:
		return false;
	}
}

/*
 * From here on it can read, write and end, and nothing else, where the kernel lets it
 * (not below another filter, as in some containers). So no call but these three is made.
 */
_Noreturn static void serve(void)
{
	struct notice notice;
	(void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
	while (read(SOCKET_FD, &notice, sizeof(notice)) == (ssize_t)sizeof(notice)) {
		struct message m;
		int32_t result = 0;
		notice.name[NOTICE_NAME - 1] = '\0';
		if (!make_message(&notice, &m))
			result = -EINVAL;
		else if (write(FUSE_FD, &m, m.header.len) < 0)
			result = -errno;
		if (write(SOCKET_FD, &result, sizeof(result)) < 0)
			break;
	}
	(void)syscall(SYS_exit, 0);
	__builtin_unreachable();
}

_Noreturn static void become_notifier(int socket, struct shared *shared)
{
	sigset_t pipe_signal;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)prctl(PR_SET_NAME, "venvfs-notify");
	(void)munmap(shared, SHARED_HEAD);
	(void)dup2(null, STDERR_FILENO);
	(void)dup2(socket, SOCKET_FD);
	(void)close_range(SOCKET_FD + 1, ~0u, 0);
	(void)sigemptyset(&pipe_signal);
	(void)sigaddset(&pipe_signal, SIGPIPE);
	(void)sigprocmask(SIG_SETMASK, &pipe_signal, NULL);
	serve();
}

int notifier_start(struct notifiers *n, struct shared *shared)
{
	int pair[2];
	unsigned i = 0;
	while (i < NOTIFIERS_MOST && n->pids[i] != 0)
		i++;
	if (i == NOTIFIERS_MOST)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0)
		become_notifier(pair[1], shared);
	int code = errno;
	(void)close(pair[1]);
	if (pid > 0) {
		n->pids[i] = pid;
		return pair[0];
	}
	(void)close(pair[0]);
	return -code;
}

void notifier_child_ended(struct notifiers *n, pid_t pid)
{
	for (unsigned i = 0; i < NOTIFIERS_MOST; i++) {
		if (n->pids[i] == pid)
			n->pids[i] = 0;
	}
}

uint32_t notifier_minor(const struct shared *shared)
{
	struct fuse_init_in init;
	const size_t wanted = offsetof(struct fuse_init_in, max_readahead);
	if (atomic_load(&shared->init_size) < sizeof(struct fuse_in_header) + wanted)
		return 0;
	memcpy(&init, shared->init + sizeof(struct fuse_in_header), wanted);
	return init.minor;
}
