/*
 * What libfuse hides of the request that a thread is serving: its number, flags that are
 * newer than the library, the opcodes it does not know. Private to fusefs/serve; each
 * thread has its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set by kernels that resend what a dead server left unanswered (FUSE_UNIQUE_RESEND). */
#define REQUEST_RESENT (UINT64_C(1) << 63)

struct iovec;

struct request {
	void *message; /* fuse_in_header and what follows; NULL: none is served */
	unsigned slot; /* whose buffer it lies in; PENDING_NO_SLOT: none */
	size_t size;
	uint32_t opcode; /* as the kernel sent it */
	uint64_t unique; /* without the bit that marks one that comes again */
	bool again;
	bool kill_privileges; /* the kernel wants set-id bits gone */
	bool tmpfile;         /* handed to libfuse as a CREATE */
};

/*
 * Before a message is processed; may rewrite its opcode. An operation that this returns
 * false for is malformed and must not be processed.
 */
bool request_begin(void *message, size_t size, unsigned slot, bool again);
void request_end(void);
const struct request *request_current(void);

/*
 * Lets what libfuse cannot ask for into its reply to INIT. `wanted`: bits of its flags;
 * `write_most`: bytes of a WRITE, where libfuse has one limit for these and READs.
 */
void request_patch_init(struct iovec *iov, int count, uint32_t wanted,
			uint32_t write_most);
