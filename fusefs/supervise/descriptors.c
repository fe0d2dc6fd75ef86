#include "fusefs/supervise/descriptors.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(DESCRIPTORS_MOST * sizeof(int))];
};

int descriptors_send(int socket, const void *bytes, size_t size, const int *fds,
		     size_t count)
{
	struct iovec io = { (void *)(uintptr_t)bytes, size };
	struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
	union control control = { .bytes = { 0 } };
	if (count > DESCRIPTORS_MOST)
		return -EINVAL;
	if (count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* More than there is room for the kernel does not hand out. */
static void take(struct msghdr *message, int fds[DESCRIPTORS_MOST])
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(message);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len < CMSG_LEN(0))
		return;
	size_t size = c->cmsg_len - CMSG_LEN(0);
	if (size <= DESCRIPTORS_MOST * sizeof(int))
		memcpy(fds, CMSG_DATA(c), size);
}

ssize_t descriptors_receive(int socket, void *bytes, size_t room,
			    int ret_fds[DESCRIPTORS_MOST])
{
	struct iovec io = { bytes, room };
	union control control;
	struct msghdr message = { .msg_iov = &io,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	for (size_t i = 0; i < DESCRIPTORS_MOST; i++)
		ret_fds[i] = -1;
	do {
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	take(&message, ret_fds);
	if (!(message.msg_flags & MSG_TRUNC))
		return n;
	descriptors_close(ret_fds);
	return -EMSGSIZE;
}

ssize_t descriptors_receive_one(int socket, void *bytes, size_t room, int *ret_fd)
{
	int fds[DESCRIPTORS_MOST];
	*ret_fd = -1;
	ssize_t n = descriptors_receive(socket, bytes, room, fds);
	if (n < 0)
		return n;
	for (size_t i = 1; i < DESCRIPTORS_MOST; i++) {
		if (fds[i] >= 0)
			n = -EBADMSG;
	}
	if (n < 0) {
		descriptors_close(fds);
		return n;
	}
	*ret_fd = fds[0];
	return n;
}

void descriptors_close(int fds[DESCRIPTORS_MOST])
{
	for (size_t i = 0; i < DESCRIPTORS_MOST; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
		fds[i] = -1;
	}
}
