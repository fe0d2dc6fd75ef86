#include "fusefs/serve/control.h"

#include "cache/base/file.h"

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
#include <unistd.h>

enum { LARGEST_MESSAGE = 64 << 10, BACKLOG = 16, PEER_MILLISECONDS = 1000 };

struct control {
	int directory; /* that the socket lies in */
	char name[64];
	int listener;
	int stop; /* eventfd: readable when the thread shall end */
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

static int send_object(int fd, const json_t *object)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = json_print(object, false, &text);
	if (r < 0)
		return r;
	ssize_t n = send(fd, text.data, text.size, MSG_NOSIGNAL);
	return n < 0 ? -errno : 0;
}

static int receive_object(int fd, json_t **ret)
{
	cleanup_free char *message = malloc(LARGEST_MESSAGE);
	if (!message)
		return -ENOMEM;
	ssize_t n = recv(fd, message, LARGEST_MESSAGE, MSG_TRUNC);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n == 0)
		return -ECONNRESET;
	return n > LARGEST_MESSAGE ? -EMSGSIZE
				   : json_parse_object(message, (size_t)n, ret);
}

static void serve_peer(struct control *c)
{
	cleanup_json json_t *request = NULL;
	cleanup_json json_t *answer = NULL;
	cleanup_fd int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 || !peer_is_ours(fd))
		return;
	set_timeouts(fd, PEER_MILLISECONDS);
	int r = receive_object(fd, &request);
	answer = r == 0 ? c->answer(c->context, request)
			: json_pack("{s:s}", "error", strerror(-r));
	if (answer)
		(void)send_object(fd, answer);
}

static void *serve_control(void *argument)
{
	struct control *c = argument;
	for (;;) {
		struct pollfd fds[] = { { .fd = c->listener, .events = POLLIN },
					{ .fd = c->stop, .events = POLLIN } };
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[1].revents)
			return NULL;
		if (fds[0].revents)
			serve_peer(c);
	}
}

static int bind_socket(struct control *c, const struct sockaddr_un *address)
{
	c->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listener < 0)
		return -errno;
	(void)unlinkat(c->directory, c->name, 0);
	if (bind(c->listener, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(c->listener, BACKLOG) < 0)
		return -errno;
	c->stop = eventfd(0, EFD_CLOEXEC);
	return c->stop < 0 ? -errno : 0;
}

static void cleanup_control(struct control **c)
{
	control_stop(*c);
}

int control_start(const char *path, control_answer *answer, void *context,
		  struct control **ret, struct error *reterr)
{
	struct sockaddr_un address;
	const char *name = "";
	CLEANUP(cleanup_control) struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = (struct control){ .directory = -1,
			       .listener = -1,
			       .stop = -1,
			       .answer = answer,
			       .context = context };
	int r = make_address(path, &address, &c->directory, &name);
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	if (r == 0)
		r = bind_socket(c, &address);
	if (r == 0)
		r = -pthread_create(&c->thread, NULL, serve_control, c);
	if (r < 0)
		return error_errno(reterr, r, "cannot make the control socket '%s'",
				   path);
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
		(void)unlinkat(c->directory, c->name, 0);
	}
	cleanup_close_fn(&c->listener);
	cleanup_close_fn(&c->stop);
	cleanup_close_fn(&c->directory);
	free(c);
}

int control_ask(const char *path, const json_t *request, int milliseconds,
		json_t **ret_answer)
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
	if (!peer_is_ours(fd))
		return -EACCES;
	r = send_object(fd, request);
	return r < 0 ? r : receive_object(fd, ret_answer);
}
