/*
 * For tests: a worker ends itself by SIGKILL when it comes to an exact instant for the
 * N-th time. VENVFS_TEST_DIE=INSTANT:N, or INSTANT:N:REQUEST to count one kind only (a
 * number alone is the N-th commit, overlay.h). Any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum instant {
	INSTANT_RECEIVED, /* "received": it lies in its buffer, and no more */
	INSTANT_RUN,      /* "run": done, its reply not kept yet */
	INSTANT_DECIDED,  /* "decided": its reply is kept and not sent */
	INSTANT_SENT,     /* "sent": and sent, which is not noted; dies when another
			   * request was answered since, or after 20 ms */
	INSTANT_ANSWERED, /* "answered": and noted */
	INSTANT_BEGUN,    /* "begun": INIT is kept, and nobody told that it serves */
	INSTANTS,
};

struct test_death {
	enum instant at;
	atomic_int left;             /* 0 or less: never */
	uint32_t opcode;             /* 0: of any kind */
	_Atomic(uint64_t) *answered; /* requests, borrowed */
};

/* `text` may be NULL; what is not as above means never. */
void test_death_init(struct test_death *d, const char *text, _Atomic(uint64_t) *answered);
void test_death_pass(struct test_death *d, enum instant instant, uint32_t opcode);
