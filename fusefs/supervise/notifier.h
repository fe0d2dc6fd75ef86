/* Starting processes that notify (notify.h). Private to this folder. One thread. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum { NOTIFIERS_MOST = 4 };

struct notifiers {
	pid_t pids[NOTIFIERS_MOST]; /* 0: none */
};

struct shared;

/* A socket to a new one; -EBUSY: there are as many as may be. `shared` is not for it. */
int notifier_start(struct notifiers *n, struct shared *shared);
/* The kernel's protocol: 7.x, as its INIT says; it tells what notices it knows. */
uint32_t notifier_minor(const struct shared *shared);
void notifier_child_ended(struct notifiers *n, pid_t pid);
