#include "fusefs/supervise/takeover.h"

#include "fusefs/supervise/descriptors.h"
#include "fusefs/supervise/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORKER_SECONDS = 10, LARGEST_ANSWER = 4096, LARGEST_ENVIRONMENT = 4 << 20 };
enum { COUNT_PLACED = 3, LARGEST_NAME = 256 };

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

/* To the numbers that they have in every process of a mount. */
static int place(int fds[DESCRIPTORS_MOST])
{
	static const int places[COUNT_PLACED] = { FUSE_FD, LOCK_FD, SHARED_FD };
	for (size_t i = 0; i < COUNT_PLACED; i++) {
		fds[i] = own_fd(fds[i]);
		if (fds[i] < 0)
			return -EPROTO;
	}
	for (size_t i = 0; i < COUNT_PLACED; i++) {
		if (dup2(fds[i], places[i]) < 0)
			return -errno;
	}
	return 0;
}

static int receive(int socket, int *ret_bell)
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
	if (r == 0 && fds[COUNT_PLACED] >= 0) {
		*ret_bell = own_fd(fds[COUNT_PLACED]);
		fds[COUNT_PLACED] = -1;
	}
	descriptors_close(fds);
	return r;
}

/* What it was started with. */
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

/* What says where a mount's things lie. */
static bool is_taken(const char *variable)
{
	static const char *const taken[] = { "HOME=", "XDG_", "VENVFS_" };
	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
		if (strncmp(variable, taken[i], strlen(taken[i])) == 0)
			return true;
	}
	return false;
}

static void drop_own(void)
{
	char name[LARGEST_NAME];
	for (char **v = environ; v && *v;) {
		size_t size = strcspn(*v, "=");
		bool drop = is_taken(*v) && size < sizeof(name);
		(void)snprintf(name, sizeof(name), "%.*s", (int)size, *v);
		/* Those behind it move up. */
		if (!drop || unsetenv(name) < 0)
			v++;
	}
}

/*
 * Its environment lies in memory that it can write to, and so can who has taken it over;
 * later workers and the unmounting helper, who are not confined when they start, get it
 * from here. So nothing is taken that has another program run, or a program do other
 * things (PATH, LD_*): there one's own stays.
 */
static int take_environment(pid_t pid)
{
	char *bytes = NULL;
	size_t size = 0;
	int r = read_environment(pid, &bytes, &size);
	if (r < 0)
		return r;
	drop_own();
	for (char *p = bytes; r == 0 && p < bytes + size; p += strlen(p) + 1) {
		char *equals = strchr(p, '=');
		if (!equals || !is_taken(p))
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
	s->adopted = own_fd(rights_open_peer(socket, &s->worker));
	if (s->adopted < 0)
		return s->adopted;
	*ret_why = "its worker hands nothing over";
	int r = receive(socket, &s->bell);
	if (r < 0)
		return r;
	*ret_why = "its worker is of another version: unmount it and mount it again";
	r = takeover_map(s);
	if (r < 0)
		return r;
	/* What this memory says of it may be wrong: it can write there, or its supervisor
	 * died before it could. */
	atomic_store(&s->shared->worker, (int32_t)s->worker);
	r = take_environment(s->worker);
	if (r < 0)
		say(s,
		    "the environment of the worker (pid %d) cannot be read (%s): later "
		    "ones get that of this command",
		    (int)s->worker, strerror(-r));
	return 0;
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
