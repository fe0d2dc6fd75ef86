#include "fusefs/serve/test_death.h"

#include "fusefs/supervise/opcodes.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[INSTANTS] = {
	[INSTANT_RECEIVED] = "received", [INSTANT_RUN] = "run",
	[INSTANT_DECIDED] = "decided",   [INSTANT_SENT] = "sent",
	[INSTANT_ANSWERED] = "answered", [INSTANT_BEGUN] = "begun",
};

static uint32_t opcode_of(const char *name)
{
	for (uint32_t i = 0; i < SHARED_OPCODES; i++) {
		const char *known = opcode_name(i);
		if (known && strcmp(known, name) == 0)
			return i;
	}
	return UINT32_MAX;
}

void test_death_init(struct test_death *d, const char *text, _Atomic(uint64_t) *answered)
{
	d->at = INSTANTS;
	atomic_init(&d->left, 0);
	d->opcode = 0;
	d->answered = answered;
	for (unsigned i = 0; text && i < INSTANTS; i++) {
		size_t size = strlen(names[i]);
		char *rest;
		if (strncmp(text, names[i], size) != 0 || text[size] != ':')
			continue;
		d->at = (enum instant)i;
		atomic_init(&d->left, (int)strtol(text + size + 1, &rest, 10));
		d->opcode = *rest == ':' ? opcode_of(rest + 1) : 0;
	}
}

static void wait_for_others(const struct test_death *d)
{
	static const struct timespec pause = { .tv_nsec = 100000 };
	enum { PAUSES = 200 };
	uint64_t before = atomic_load(d->answered);
	for (int i = 0; i < PAUSES && atomic_load(d->answered) == before; i++)
		(void)nanosleep(&pause, NULL);
}

void test_death_pass(struct test_death *d, enum instant instant, uint32_t opcode)
{
	if (d->at != instant || (d->opcode != 0 && d->opcode != opcode) ||
	    atomic_fetch_sub(&d->left, 1) != 1)
		return;
	if (instant == INSTANT_SENT)
		wait_for_others(d);
	(void)kill(getpid(), SIGKILL);
}
