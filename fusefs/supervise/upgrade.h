/*
 * The programs of a running mount are replaced. The new worker is started beside the old
 * one and gets as far as it can without the upper. Then the supervisor becomes the new
 * one (exec, so it stays the parent of its workers and what `mount --foreground` waits
 * for), ends the old worker, and tells the new one to go on. Private to this folder. One
 * thread.
 *
 * The old worker is ended by SIGKILL: what it has acknowledged is committed, and what it
 * was about comes again. That is how a crash goes, and so it is tried more often than an
 * orderly end of a busy worker would be.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct supervisor;

enum upgrade_stage {
	UPGRADE_NONE,
	UPGRADE_PREPARING, /* the new worker, by the old supervisor */
	UPGRADE_ENDING,    /* the old worker; from here on by the new supervisor */
	UPGRADE_STARTING,  /* the new worker goes on */
};

struct upgrade {
	enum upgrade_stage stage;
	int client;    /* is told how it went */
	int words, go; /* of the new worker */
	int program;   /* the new venvfs; while STARTING the old one */
	int supervise; /* the new venvfs-supervise */
	pid_t worker;  /* the new one; 0: it has ended */
	int64_t until; /* ms; then it is taken to have failed */
	char said[200];
	size_t size;
};

#define UPGRADE_INIT       \
	((struct upgrade){ \
	    .client = -1, .words = -1, .go = -1, .program = -1, .supervise = -1 })

/* Begins; the client (owned from here on) is told when it is over. */
void upgrade_begin(struct supervisor *s, int take_client, int take_program,
		   int take_supervise);
/* The new worker has said something, or its end is closed. */
void upgrade_hear(struct supervisor *s);
/* Looks at the time. */
void upgrade_look(struct supervisor *s);
/* A child that is not the worker has ended. */
void upgrade_child_ended(struct supervisor *s, pid_t pid);
/*
 * The worker has ended. True: that was part of the upgrade, or of its failure, and the
 * next one has been seen to.
 */
bool upgrade_takes_end(struct supervisor *s);

/*
 * The other side of the exec: `numbers` are the arguments that say what is where. A
 * contract with earlier versions: add at the end.
 */
enum upgrade_number {
	NUMBER_WORKER,     /* pid */
	NUMBER_ADOPTED,    /* its pidfd when it is not a child, else -1 */
	NUMBER_NEW_WORKER, /* pid */
	NUMBER_LISTENER,
	NUMBER_GUARD,
	NUMBER_OLD_PROGRAM,
	NUMBER_NEW_PROGRAM,
	NUMBER_CLIENT,
	NUMBER_WORDS,
	NUMBER_GO,
	NUMBERS_FIRST, /* what all versions pass; the others may be missing: -1 */
	NUMBER_BELL = NUMBERS_FIRST,
	NUMBERS
};
/* False: they are not what they should be. */
bool upgrade_resume(struct supervisor *s, char **numbers);
/* Then it ends the old worker; signals are taken by now. */
void upgrade_end_old(struct supervisor *s);
