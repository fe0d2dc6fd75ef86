/* What processes may do, as /proc tells it. Private to this folder. One thread. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * A pidfd of the process, one's own or root's, at the other end of a connection, and its
 * number; a negative errno, -ESRCH when it has ended. On Linux before 6.5, before
 * anything was heard from it: its number may be another's once it has ended.
 */
int rights_open_peer(int socket, pid_t *ret_pid);
/*
 * May the process at the other end of an accepted socket do all that we may? What it has
 * run by us it could run itself then. False when that cannot be told, or when it is gone.
 */
bool rights_peer_has_ours(int socket);
/* Is the process below more seccomp filters than we are? False when that is not known. */
bool rights_is_filtered(pid_t pid);
