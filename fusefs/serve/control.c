#include "fusefs/serve/control.h"

#include "cache/base/file.h"
#include "fusefs/supervise/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST_MESSAGE = 64 << 10, BACKLOG = 16, PEER_MILLISECONDS = 1000 };

enum { PLACES = 2 };

struct control {
	char *paths[PLACES]; /* the second: where the first cannot be; or NULL */
	int at;              /* the one of them that the listener is bound to */
	dev_t device;        /* of its name */
	ino_t node;
	int listener; /* -1: there is none just now */
	int stop;     /* eventfd: readable when the thread shall end */
	pthread_t thread;
	bool started;
	control_answer *answer;
	void *context;
};

/* Paths of any length fit into sun_path through a descriptor of the directory. */
static int make_address(const char *path, struct sockaddr_un *ret, int *ret_directory,
			const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent =
	    slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
	if (!parent)
		return slash ? -ENOMEM : -EINVAL;
	cleanup_fd int fd =
	    file_open(AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	int n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", fd,
			 slash + 1);
	if (n < 0 || (size_t)n >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	*ret_name = slash + 1;
	*ret_directory = steal_fd(&fd);
	return 0;
}

static int make_paths(const struct control_place *place, char *ret_paths[PLACES])
{
	if (asprintf(&ret_paths[0], "%s%s", place->path, place->suffix) < 0) {
		ret_paths[0] = NULL;
		return -ENOMEM;
	}
	if (place->state_path && asprintf(&ret_paths[1], "%s/%s%s", place->state_path,
					  SOCKET_FILE, place->suffix) < 0) {
		ret_paths[1] = NULL;
		return -ENOMEM;
	}
	return 0;
}

static void free_paths(char *(*paths)[PLACES])
{
	for (int i = 0; i < PLACES; i++)
		free((*paths)[i]);
}

static void set_timeouts(int fd, int milliseconds)
{
	const struct timeval t = { .tv_sec = milliseconds / 1000,
				   .tv_usec = (suseconds_t)(milliseconds % 1000) * 1000 };
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static bool peer_is_ours(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

static int send_object(int fd, const json_t *object, const int fds[DESCRIPTORS_MOST])
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	size_t count = 0;
	int r = json_print(object, false, &text);
	while (count < DESCRIPTORS_MOST && fds[count] >= 0)
		count++;
	return r < 0 ? r : descriptors_send(fd, text.data, text.size, fds, count);
}

static int receive_object(int fd, int ret_fds[DESCRIPTORS_MOST], json_t **ret)
{
	cleanup_free char *message = malloc(LARGEST_MESSAGE);
	if (!message)
		return -ENOMEM;
	ssize_t n = descriptors_receive(fd, message, LARGEST_MESSAGE, ret_fds);
	if (n < 0)
		return n == -EAGAIN ? -ETIMEDOUT : (int)n;
	int r = n == 0 ? -ECONNRESET : json_parse_object(message, (size_t)n, ret);
	if (r < 0)
		descriptors_close(ret_fds);
	return r;
}

static void serve_peer(struct control *c)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	cleanup_json json_t *request = NULL;
	cleanup_json json_t *answer = NULL;
	int none[DESCRIPTORS_MOST];
	int fds[DESCRIPTORS_MOST] = { -1, -1, -1, -1 };
	cleanup_fd int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		(void)nanosleep(&pause, NULL); /* or poll() would not wait */
	if (fd < 0 || !peer_is_ours(fd))
		return;
	set_timeouts(fd, PEER_MILLISECONDS);
	int r = receive_object(fd, none, &request);
	if (r == 0)
		descriptors_close(none); /* it takes none */
	answer = r == 0 ? c->answer(c->context, request, fds)
			: json_pack("{s:s}", "error", strerror(-r));
	if (answer)
		(void)send_object(fd, answer, fds);
}

/* The directory may have been made anew since, by somebody else. */
static bool is_own(int directory)
{
	struct stat st;
	return fstat(directory, &st) == 0 && st.st_uid == geteuid() &&
	       (st.st_mode & 077) == 0;
}

static int listen_at(struct control *c, int at)
{
	struct sockaddr_un address;
	struct stat st;
	const char *name;
	int directory_fd = -1;
	int r = c->paths[at] ? make_address(c->paths[at], &address, &directory_fd, &name)
			     : -ENOENT;
	cleanup_fd int directory = directory_fd;
	if (r == 0 && !is_own(directory))
		r = -EACCES;
	if (r < 0)
		return r;
	cleanup_fd int fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlinkat(directory, name, 0);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, BACKLOG) < 0 ||
	    fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	c->listener = steal_fd(&fd);
	c->at = at;
	c->device = st.st_dev;
	c->node = st.st_ino;
	return 0;
}

static bool is_named(const struct control *c)
{
	struct stat st;
	return lstat(c->paths[c->at], &st) == 0 && st.st_dev == c->device &&
	       st.st_ino == c->node;
}

static void look_after_name(struct control *c)
{
	if (c->listener >= 0 && is_named(c))
		return;
	cleanup_close_fn(&c->listener);
	c->listener = -1;
	if (listen_at(c, 1) < 0)
		(void)listen_at(c, 0);
}

static void *serve_control(void *argument)
{
	struct control *c = argument;
	for (;;) {
		look_after_name(c);
		struct pollfd fds[] = { { .fd = c->listener, .events = POLLIN },
					{ .fd = c->stop, .events = POLLIN } };
		if (poll(fds, 2, SOCKET_EVERY) < 0 && errno != EINTR)
			return NULL;
		if (fds[1].revents)
			return NULL;
		if (fds[0].revents)
			serve_peer(c);
	}
}

static void cleanup_control(struct control **c)
{
	control_stop(*c);
}

/* Whatever can be listened at; or nothing, when that is allowed. */
static int listen_somewhere(struct control *c, bool may_lack, struct error *reterr)
{
	int r = listen_at(c, 0);
	if (r == 0 || listen_at(c, 1) == 0)
		return 0;
	r = error_errno(reterr, r, "cannot make the control socket '%s'", c->paths[0]);
	return may_lack ? 0 : r;
}

int control_start(const struct control_options *o, struct control **ret,
		  struct error *reterr)
{
	CLEANUP(cleanup_control) struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct control){ .listener = -1,
			       .answer = o->answer,
			       .context = o->context };
	c->stop = eventfd(0, EFD_CLOEXEC);
	int r = c->stop < 0 ? -errno : make_paths(&o->place, c->paths);
	if (r == 0)
		r = listen_somewhere(c, o->may_lack, reterr);
	if (r < 0)
		return r;
	r = -pthread_create(&c->thread, NULL, serve_control, c);
	if (r < 0)
		return error_errno(reterr, r, "cannot start a thread");
	c->started = true;
	*ret = steal_ptr(c);
	return 0;
}

void control_stop(struct control *c)
{
	if (!c)
		return;
	if (c->started) {
		(void)eventfd_write(c->stop, 1);
		(void)pthread_join(c->thread, NULL);
	}
	if (c->listener >= 0 && is_named(c))
		(void)unlink(c->paths[c->at]);
	cleanup_close_fn(&c->listener);
	cleanup_close_fn(&c->stop);
	free_paths(&c->paths);
	free(c);
}

static int connect_to(const char *path, int milliseconds)
{
	struct sockaddr_un address;
	int directory_fd = -1;
	const char *name;
	int r = make_address(path, &address, &directory_fd, &name);
	cleanup_fd int directory = directory_fd;
	if (r < 0)
		return r;
	cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set_timeouts(fd, milliseconds);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	/* Whoever listens there must be of the right uid too. */
	return peer_is_ours(fd) ? steal_fd(&fd) : -EACCES;
}

static int connect_somewhere(const struct control_place *place, int milliseconds)
{
	CLEANUP(free_paths) char *paths[PLACES] = { NULL };
	int r = make_paths(place, paths);
	if (r == 0)
		r = connect_to(paths[0], milliseconds);
	if (r >= 0 || r == -ETIMEDOUT || !paths[1])
		return r;
	int fd = connect_to(paths[1], milliseconds);
	return fd == -ENOENT ? r : fd;
}

int control_trade(const struct control_place *place, const json_t *request,
		  int milliseconds, int fds[DESCRIPTORS_MOST], json_t **ret_answer)
{
	cleanup_fd int fd = connect_somewhere(place, milliseconds);
	int r = fd < 0 ? fd : send_object(fd, request, fds);
	return r < 0 ? r : receive_object(fd, fds, ret_answer);
}

int control_ask(const struct control_place *place, const json_t *request,
		int milliseconds, json_t **ret_answer)
{
	int fds[DESCRIPTORS_MOST] = { -1, -1, -1, -1 };
	int r = control_trade(place, request, milliseconds, fds, ret_answer);
	if (r == 0)
		descriptors_close(fds);
	return r;
}
