/*
 * Telling the kernel what it remembers of a mount and must not any more, by way of a
 * process of the mount's supervisor (supervise/notify.h): the kernel may make it wait for
 * a request that is under way, so never call this from what answers requests. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"

struct teller;

struct control_place;

/* At `place` is the mount's control socket. */
int teller_open(const struct control_place *place, struct teller **ret,
		struct error *reterr);
/* Ends the process too. */
void teller_close(struct teller *teller);
DEFINE_CLEANUP(struct teller *, teller_close);

/*
 * Each returns when the kernel has been told, 0 also where it did not know; -ETIMEDOUT
 * after half a minute, and then it may be told still: a request is in the way.
 */

/* Attributes, content and, of a directory, the listing. */
int teller_node(struct teller *teller, uint64_t node);
/* A name is only to be asked for anew; false: this kernel (before 6.2) cannot. */
bool teller_can_expire(const struct teller *teller);
int teller_expire(struct teller *teller, uint64_t parent, const char *name);
