/*
 * Where the control socket of a mount is: where mount.json says, or, when that directory
 * has gone (a logout takes /run/user/UID away), in the state directory (SOCKET_FILE of
 * shared.h). The worker's is beside it in the same way. One thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

struct supervisor;

/* What s->listener is bound to. */
struct sockets {
	bool spare; /* it is in the state directory */
	dev_t device;
	ino_t node;
};

/* Binds s->listener, if it can: -1 stays for sockets_look() to try again. 0, or a
 * negative errno. An old socket of that name is replaced. */
int sockets_listen(struct supervisor *s);
/* Looks whether the socket still has its name, and makes another one when not. */
void sockets_look(struct supervisor *s);
/* Finds out what an s->listener that was inherited is bound to. */
void sockets_resume(struct supervisor *s);
/* Removes the socket's name. */
void sockets_remove(const struct supervisor *s);

/* A connection to the worker, or a negative errno. */
int sockets_connect_worker(const struct supervisor *s, int seconds);
/* After accept() has failed: where the connection stays, poll() would not wait. */
void sockets_pause(int code);
/* For both directions. */
void sockets_set_timeout(int fd, int seconds);
