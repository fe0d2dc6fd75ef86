#include "fusefs/supervise/takeover.h"

#include "fusefs/supervise/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WORKER_SECONDS = 10, LARGEST_ANSWER = 4096, LARGEST_ENVIRONMENT = 4 << 20 };

int takeover_map(struct supervisor *s)
{
	void *map =
	    mmap(NULL, SHARED_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (map == MAP_FAILED)
		return -errno;
	s->shared = map;
	return s->shared->magic == SHARED_MAGIC && s->shared->version == SHARED_VERSION
		   ? 0
		   : -EPROTO;
}

/*
 * The descriptor of the process at the other end: it is opened before the process
 * answers, so the number that was asked for is still its own.
 */
static int open_peer(int socket)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid != geteuid())
		return -EACCES;
	int fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	return fd < 0 ? -errno : fd;
}

/* To the numbers that they have in every process of a mount. */
static int place(int fds[DESCRIPTORS_MOST])
{
	static const int places[] = { FUSE_FD, LOCK_FD, SHARED_FD };
	enum { COUNT = sizeof(places) / sizeof(*places) };
	for (size_t i = 0; i < COUNT; i++) {
		fds[i] = own_fd(fds[i]);
		if (fds[i] < 0)
			return -EPROTO;
	}
	for (size_t i = 0; i < COUNT; i++) {
		if (dup2(fds[i], places[i]) < 0)
			return -errno;
	}
	return 0;
}

static int receive(int socket)
{
	static const char question[] = "{\"verb\": \"descriptors\"}";
	char answer[LARGEST_ANSWER];
	int fds[DESCRIPTORS_MOST];
	int r = descriptors_send(socket, question, strlen(question), NULL, 0);
	if (r < 0)
		return r;
	ssize_t n = descriptors_receive(socket, answer, sizeof(answer), fds);
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	r = place(fds);
	descriptors_close(fds);
	return r;
}

/* What it was started with; it has no other text than that of its mount's. */
static int read_environment(pid_t pid, char **ret_bytes, size_t *ret_size)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	char *bytes = malloc(LARGEST_ENVIRONMENT + 1);
	size_t size = 0;
	ssize_t n = bytes ? 1 : -1;
	while (n > 0 && size < LARGEST_ENVIRONMENT) {
		n = read(fd, bytes + size, LARGEST_ENVIRONMENT - size);
		size += n > 0 ? (size_t)n : 0;
	}
	(void)close(fd);
	if (n != 0) {
		free(bytes);
		return n < 0 ? -EIO : -E2BIG;
	}
	bytes[size] = '\0';
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}

static int take_environment(pid_t pid)
{
	char *bytes = NULL;
	size_t size = 0;
	int r = read_environment(pid, &bytes, &size);
	if (r < 0)
		return r;
	(void)clearenv();
	for (char *p = bytes; r == 0 && p < bytes + size; p += strlen(p) + 1) {
		char *equals = strchr(p, '=');
		if (!equals || equals == p)
			continue;
		*equals = '\0';
		r = setenv(p, equals + 1, 1) < 0 ? -errno : 0;
		*equals = '='; /* its length counts still */
	}
	free(bytes);
	return r;
}

static int take_all(struct supervisor *s, int socket, const char **ret_why)
{
	*ret_why = "its worker cannot be found";
	s->adopted = own_fd(open_peer(socket));
	if (s->adopted < 0)
		return s->adopted;
	*ret_why = "its worker hands nothing over";
	int r = receive(socket);
	if (r < 0)
		return r;
	*ret_why = "its worker is of another version: unmount it and mount it again";
	r = takeover_map(s);
	if (r < 0)
		return r;
	*ret_why = "its worker's environment cannot be read";
	s->worker = atomic_load(&s->shared->worker);
	return take_environment(s->worker);
}

int takeover(struct supervisor *s, const char **ret_why)
{
	*ret_why = "nobody serves it";
	/* Away from the numbers that the others go to. */
	int socket = own_fd(sockets_connect_worker(s, WORKER_SECONDS));
	if (socket < 0)
		return socket;
	int r = take_all(s, socket, ret_why);
	(void)close(socket);
	return r;
}
