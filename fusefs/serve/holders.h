/* Which processes keep a mount busy. Any thread. */
#pragma once

#include <sys/types.h>

/* `how`: "working directory", "open file", "program", "mapped file", "root directory". */
typedef int holders_visit(void *context, pid_t pid, const char *name, const char *how);

/*
 * Visits each process with something at or below `path` once, those that one may look
 * into. Reads /proc only, so it never waits for the mount's server.
 */
int holders_find(const char *path, holders_visit *visit, void *context);
