/* What the supervisor of one mount has in hand. Private to this folder. One thread. */
#pragma once

#include "fusefs/supervise/notifier.h"
#include "fusefs/supervise/shared.h"
#include "fusefs/supervise/sockets.h"
#include "fusefs/supervise/upgrade.h"
#include "fusefs/supervise/watch.h"
#include "fusefs/supervise/worker.h"

struct supervisor {
	const char *state_path, *socket_path;
	struct shared *shared;
	struct deaths deaths;
	struct watch watch;
	int program; /* venvfs, which workers are */
	int guard;   /* locked: there is one supervisor */
	int listener, signals;
	struct sockets sockets; /* of the listener */
	pid_t worker;           /* 0: there is none just now */
	int64_t start_until;    /* ms; not 0: another one is to be started, until then */
	int64_t start_after;    /* and not before */
	bool start_failed;      /* it could not be at first, and that was said */
	int words;    /* where a worker says "ready"; -1: nobody waits for it any more */
	int bell;     /* the worker asks by it to be taken out of sight */
	int gate;     /* for the first worker; -1: it waits for nothing */
	pid_t leaver; /* takes the mount out of sight; 0: none runs */
	int adopted;  /* a pidfd of the worker, when it is not a child; else -1 */
	struct upgrade upgrade;
	struct notifiers notifiers;
	int result; /* exit status, once `done` */
	bool done;
};

/* ms of CLOCK_MONOTONIC. */
int64_t milliseconds(void);
/* A line in the log. */
__attribute__((format(printf, 2, 3))) void say(const struct supervisor *s,
					       const char *format, ...);
/* The descriptor at a number that workers are not told of, close-on-exec. */
int own_fd(int take_fd);

/*
 * Becomes the one supervisor of the mount (-EWOULDBLOCK: there is another, after so many
 * milliseconds), takes signals and listens; where it cannot, s->listener is -1.
 */
int supervisor_prepare(struct supervisor *s, int wait_milliseconds);
int supervisor_take_signals(struct supervisor *s);
/* A bell, where an earlier supervisor has left none. */
int supervisor_hang_bell(struct supervisor *s);
bool supervisor_is_unmounted(void);
/* A worker. 0, or a negative errno. */
int supervisor_start(struct supervisor *s);
/*
 * Another worker, in so many ms. When no process can be had it is tried again for some
 * seconds, and then the mount is given up.
 */
void supervisor_restart(struct supervisor *s, int64_t milliseconds_from_now);
/* Has the mount leave sight; it ends with its last user. */
void supervisor_leave(struct supervisor *s);
/* Supervises until the mount has ended; an exit status. */
int supervisor_run(struct supervisor *s);
