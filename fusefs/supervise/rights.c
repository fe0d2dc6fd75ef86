#include "fusefs/supervise/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The uid alone says little: a process of the same uid may be in a sandbox, or be the
 * worker, that somebody has taken over. The kernel asks the same of who wants to trace
 * another process, but for filters and no_new_privs.
 */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

enum { LARGEST = 8192, STRICT = 1 };

struct rights {
	uint64_t capabilities; /* permitted */
	unsigned long filters, no_new_privs;
	char user_namespace[LARGEST]; /* as its map of uids looks from here */
};

static bool read_text(pid_t pid, const char *name, char ret[LARGEST])
{
	char path[64];
	size_t size = 0;
	ssize_t n = 1;
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && n > 0 && size < LARGEST - 1) {
		n = read(fd, ret + size, LARGEST - 1 - size);
		size += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		(void)close(fd);
	ret[size] = '\0';
	return fd >= 0 && n == 0;
}

/* No name of a process holds a line feed there. */
static bool take_number(const char *status, const char *name, int base,
			unsigned long long *ret)
{
	const char *at = strstr(status, name);
	char *end;
	if (!at)
		return false;
	at += strlen(name);
	*ret = strtoull(at, &end, base);
	return end > at;
}

static bool take_filters(const char *status, unsigned long *ret)
{
	unsigned long long mode;
	unsigned long long count;
	if (!take_number(status, "\nSeccomp:", 10, &mode))
		mode = 0; /* a kernel without */
	if (!take_number(status, "\nSeccomp_filters:", 10, &count))
		count = mode != 0;
	*ret = mode == STRICT ? ULONG_MAX : count;
	return mode <= 2;
}

static bool read_rights(pid_t pid, struct rights *ret)
{
	char status[LARGEST];
	unsigned long long permitted;
	unsigned long long no_new_privs;
	if (!read_text(pid, "status", status) ||
	    !take_number(status, "\nCapPrm:", 16, &permitted) ||
	    !take_number(status, "\nNoNewPrivs:", 10, &no_new_privs) ||
	    !take_filters(status, &ret->filters) || strstr(status, "\nState:\tZ"))
		return false;
	ret->capabilities = permitted;
	ret->no_new_privs = no_new_privs;
	if (!read_text(pid, "uid_map", ret->user_namespace))
		ret->user_namespace[0] = '\0'; /* a kernel without */
	return true;
}

int rights_open_peer(int socket, pid_t *ret_pid)
{
	struct ucred peer;
	int fd = -1;
	socklen_t size = sizeof(peer);
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid != geteuid() && peer.uid != 0)
		return -EACCES;
	if (peer.pid <= 0)
		return -ESRCH; /* of another namespace */
	*ret_pid = peer.pid;
	size = sizeof(fd);
	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0)
		return fd;
	fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	return fd < 0 ? -errno : fd;
}

static bool covers(const struct rights *theirs, const struct rights *ours)
{
	/* Capabilities are those in a namespace. */
	bool comparable = ours->capabilities == 0 ||
			  strcmp(theirs->user_namespace, ours->user_namespace) == 0;
	return comparable && (ours->capabilities & ~theirs->capabilities) == 0 &&
	       theirs->filters <= ours->filters &&
	       theirs->no_new_privs <= ours->no_new_privs;
}

bool rights_peer_has_ours(int socket)
{
	static struct rights theirs;
	static struct rights ours;
	pid_t pid = 0;
	struct pollfd peer = { .fd = rights_open_peer(socket, &pid), .events = POLLIN };
	if (peer.fd < 0)
		return false;
	bool has = read_rights(getpid(), &ours) && read_rights(pid, &theirs) &&
		   covers(&theirs, &ours);
	/* While it lives its number is its own. */
	has = has && poll(&peer, 1, 0) == 0;
	(void)close(peer.fd);
	return has;
}

bool rights_is_filtered(pid_t pid)
{
	static struct rights theirs;
	static struct rights ours;
	return read_rights(getpid(), &ours) && read_rights(pid, &theirs) &&
	       theirs.filters > ours.filters;
}
