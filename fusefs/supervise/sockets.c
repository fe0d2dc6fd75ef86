#include "fusefs/supervise/sockets.h"

#include "fusefs/supervise/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 16 };

void sockets_set_timeout(int fd, int seconds)
{
	const struct timeval t = { .tv_sec = seconds };
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

void sockets_pause(int code)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	if (code != EAGAIN && code != EINTR && code != ECONNABORTED)
		(void)nanosleep(&pause, NULL);
}

static int make_path(const struct supervisor *s, bool spare, const char *suffix,
		     char ret_path[PATH_MAX])
{
	int n = spare ? snprintf(ret_path, PATH_MAX, "%s/%s%s", s->state_path,
				 SOCKET_FILE, suffix)
		      : snprintf(ret_path, PATH_MAX, "%s%s", s->socket_path, suffix);
	return n > 0 && n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Paths of any length fit through a descriptor of the directory, which is returned. */
static int make_address(const char *path, struct sockaddr_un *ret)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) + 1 : 0;
	if (size == 0 || size >= sizeof(parent))
		return -EINVAL;
	memcpy(parent, path, size);
	parent[size] = '\0';
	int fd = open(parent, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	int n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", fd,
			 slash + 1);
	if (n > 0 && (size_t)n < sizeof(ret->sun_path))
		return fd;
	(void)close(fd);
	return -ENAMETOOLONG;
}

/* It may have been made anew since, by somebody else. */
static bool is_own(int directory)
{
	struct stat st;
	return fstat(directory, &st) == 0 && st.st_uid == geteuid() &&
	       (st.st_mode & 077) == 0;
}

static void note(struct supervisor *s, bool spare, const char *path)
{
	struct stat st;
	s->sockets = (struct sockets){ .spare = spare };
	if (lstat(path, &st) < 0)
		return;
	s->sockets.device = st.st_dev;
	s->sockets.node = st.st_ino;
}

static int bind_at(const char *path)
{
	struct sockaddr_un address;
	int directory = make_address(path, &address);
	if (directory < 0)
		return directory;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -errno : is_own(directory) ? 0 : -EACCES;
	if (r == 0)
		(void)unlink(path);
	if (r == 0 && (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		       listen(fd, BACKLOG) < 0))
		r = -errno;
	if (r < 0 && fd >= 0)
		(void)close(fd);
	(void)close(directory);
	return r < 0 ? r : fd;
}

/*
 * Above the guard, as the kernel closes what a process had in order: whoever is refused
 * here finds the guard free, and can follow.
 */
static int place_above(int take_fd, int guard)
{
	int first = guard >= OWN_FDS ? guard + 1 : OWN_FDS;
	int fd = fcntl(take_fd, F_DUPFD_CLOEXEC, first);
	int code = errno;
	(void)close(take_fd);
	return fd < 0 ? -code : fd;
}

static int listen_at(struct supervisor *s, bool spare)
{
	char path[PATH_MAX];
	int r = make_path(s, spare, "", path);
	if (r < 0)
		return r;
	int fd = bind_at(path);
	if (fd >= 0)
		fd = place_above(fd, s->guard);
	if (fd < 0)
		return fd;
	s->listener = fd;
	note(s, spare, path);
	return 0;
}

int sockets_listen(struct supervisor *s)
{
	int r = listen_at(s, false);
	return r < 0 && listen_at(s, true) == 0 ? 0 : r;
}

static bool is_named(const struct supervisor *s)
{
	char path[PATH_MAX];
	struct stat st;
	return make_path(s, s->sockets.spare, "", path) == 0 && lstat(path, &st) == 0 &&
	       st.st_dev == s->sockets.device && st.st_ino == s->sockets.node;
}

void sockets_look(struct supervisor *s)
{
	if (s->listener >= 0 && is_named(s))
		return;
	if (s->listener >= 0)
		(void)close(s->listener);
	s->listener = -1;
	if (listen_at(s, true) < 0 && listen_at(s, false) < 0)
		return;
	say(s, "the control socket had gone and was made again%s",
	    s->sockets.spare ? ", in this directory" : "");
}

void sockets_resume(struct supervisor *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address) - 1;
	char path[PATH_MAX];
	if (s->listener < 0 ||
	    getsockname(s->listener, (struct sockaddr *)&address, &size) < 0)
		return;
	const char *slash = strrchr(address.sun_path, '/');
	bool spare = slash && strcmp(slash + 1, SOCKET_FILE) == 0;
	if (make_path(s, spare, "", path) == 0)
		note(s, spare, path);
}

void sockets_remove(const struct supervisor *s)
{
	char path[PATH_MAX];
	if (s->listener >= 0 && is_named(s) &&
	    make_path(s, s->sockets.spare, "", path) == 0)
		(void)unlink(path);
}

static int connect_to(const char *path, int seconds)
{
	struct sockaddr_un address;
	int directory = make_address(path, &address);
	if (directory < 0)
		return directory;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -errno : 0;
	if (r == 0)
		sockets_set_timeout(fd, seconds);
	if (r == 0 &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		(void)close(fd);
	}
	(void)close(directory);
	return r < 0 ? r : fd;
}

int sockets_connect_worker(const struct supervisor *s, int seconds)
{
	char path[PATH_MAX];
	int r = make_path(s, false, ".worker", path);
	if (r == 0)
		r = connect_to(path, seconds);
	if (r >= 0 || make_path(s, true, ".worker", path) < 0)
		return r;
	int fd = connect_to(path, seconds);
	return fd < 0 ? r : fd;
}
