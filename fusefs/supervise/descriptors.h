/* Messages with descriptors over a socket of AF_UNIX. Any thread; libc only. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

enum { DESCRIPTORS_MOST = 4 };

/* 0, or a negative errno. */
int descriptors_send(int socket, const void *bytes, size_t size, const int *fds,
		     size_t count);
/*
 * A message of at most `room` bytes: its size, 0 at the end, or a negative errno
 * (-EMSGSIZE: it was larger). Its descriptors, close-on-exec and the caller's, are in
 * ret_fds; -1 stands for each that did not come.
 */
ssize_t descriptors_receive(int socket, void *bytes, size_t room,
			    int ret_fds[DESCRIPTORS_MOST]);
/* The same of a message that has one descriptor or none (-1); -EBADMSG: it had more. */
ssize_t descriptors_receive_one(int socket, void *bytes, size_t room, int *ret_fd);
void descriptors_close(int fds[DESCRIPTORS_MOST]);
