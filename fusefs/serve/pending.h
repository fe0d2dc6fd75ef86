/*
 * Requests that a thread has received and may not have answered: marks in the memory that
 * outlives it (supervise/shared.h), so that a successor of a worker that was killed at
 * any instant knows what to do with each. A slot is one thread's at a time.
 *
 * The steps, in their order:
 *
 *   pending_clear()    nothing is there
 *   read(2)            the kernel writes the number first, then the rest, all of it
 *                      before a SIGKILL can end the thread
 *   pending_note()     what it is, for "status" and for a successor
 *   (it is run)        killed here, it was not answered: run again, as what changes
 *                      names is answered from the record, and the rest may run twice
 *   pending_decide()   the reply is kept: from here on it is never run again. A WRITE
 *                      that was answered must not be, as another one may have followed
 *   write(2)           to a number that the kernel does not wait for this is -ENOENT
 *   pending_answered() nothing is there
 *
 * A FORGET has no reply; each of its entries is counted once (overlay/counts.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iovec;
struct shared;

enum { PENDING_NO_SLOT = 1 << 16 }; /* none of them */

enum pending_state {
	PENDING_NONE,
	PENDING_RECEIVED, /* to be run */
	PENDING_DECIDED,  /* a reply is kept, to be sent */
};

/* Once a slot and worker, before its first message; nothing may be pending there. */
void pending_prepare(struct shared *shared, unsigned slot);
void pending_clear(struct shared *shared, unsigned slot);
/* Also gives the message in the buffer back the opcode that it came with. */
void pending_note(struct shared *shared, unsigned slot);
/* The reply to what the buffer holds; one that is too long, or to something else, is not
 * kept. */
void pending_decide(struct shared *shared, unsigned slot, const struct iovec *iov,
		    int count);
void pending_answered(struct shared *shared, unsigned slot);

enum pending_state pending_state(struct shared *shared, unsigned slot);
/* The number of bytes; *ret is borrowed. */
size_t pending_reply(struct shared *shared, unsigned slot, const void **ret);
