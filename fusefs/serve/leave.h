/*
 * The way out of sight for a server that is told to end (SIGTERM): unmounting needs
 * rights, or a set-uid program, that a confined server cannot have. One thread.
 */
#pragma once

#include "cache/base/error.h"

/*
 * Forks a process that waits, with nothing but a socket, and unmounts what the state
 * directory says is mounted. To be called before confine_server() and before there are
 * threads. Returns the other end; the process ends when that is closed.
 */
int leave_prepare(const char *state_path, struct error *reterr);
/* Lets it unmount, lazily: the mount ends with its last user. Any thread, once. */
void leave_sight(int fd);
