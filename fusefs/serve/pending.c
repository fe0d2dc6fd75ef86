#include "fusefs/serve/pending.h"

#include "fusefs/serve/request.h"
#include "fusefs/supervise/shared.h"

#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>

/*
 * Stores of one thread are seen by who comes after its death in the order in which it
 * made them; `release` keeps the compiler to it.
 *
 * The kernel copies a message page by page. Should a page not be there, it must wait for
 * it, and a SIGKILL makes it give up: the client gets EIO, and the buffer holds a header
 * and half a message, which must not be run. So pages are made and locked beforehand, and
 * should that not have been possible, a canary at the start of each page but the first
 * tells that the kernel did not come to it.
 */
enum { PAGE = 4096 };

_Static_assert(offsetof(struct fuse_in_header, unique) == SHARED_NUMBER_AT,
	       "who watches finds it");

static struct fuse_in_header *header_of(struct shared *s, unsigned slot)
{
	return shared_buffer(s, slot);
}

static uint64_t number_of(const struct fuse_in_header *header)
{
	return __atomic_load_n(&header->unique, __ATOMIC_ACQUIRE);
}

static void clear_number(struct fuse_in_header *header)
{
	__atomic_store_n(&header->unique, 0, __ATOMIC_RELEASE);
}

static void place_canaries(struct shared *s, unsigned slot, size_t size)
{
	uint64_t canary = atomic_load_explicit(&s->canary, memory_order_relaxed);
	uint8_t *buffer = shared_buffer(s, slot);
	for (size_t at = PAGE; at < size && at < SHARED_BUFFER; at += PAGE)
		memcpy(buffer + at, &canary, sizeof(canary));
}

/* A rest that is shorter than a canary cannot be told, and counts as received. */
static bool is_whole(struct shared *s, unsigned slot, size_t size)
{
	uint64_t canary = atomic_load_explicit(&s->canary, memory_order_relaxed);
	const uint8_t *buffer = shared_buffer(s, slot);
	for (size_t at = PAGE; at + sizeof(canary) <= size; at += PAGE) {
		if (memcmp(buffer + at, &canary, sizeof(canary)) == 0)
			return false;
	}
	return true;
}

static void draw_canary(struct shared *s)
{
	uint64_t canary = 0;
	uint64_t none = 0;
	if (getrandom(&canary, sizeof(canary), 0) != (ssize_t)sizeof(canary) ||
	    canary == 0)
		canary = UINT64_C(0x9e3779b97f4a7c15);
	(void)atomic_compare_exchange_strong(&s->canary, &none, canary);
}

void pending_prepare(struct shared *s, unsigned slot)
{
	void *buffer = shared_buffer(s, slot);
	if (atomic_load(&s->canary) == 0)
		draw_canary(s);
	/* Locking without the right to is one chance less. */
	(void)madvise(buffer, SHARED_BUFFER, MADV_POPULATE_WRITE);
	(void)mlock(buffer, SHARED_BUFFER);
	pending_clear(s, slot);
	place_canaries(s, slot, SHARED_BUFFER);
}

void pending_clear(struct shared *s, unsigned slot)
{
	struct fuse_in_header *header = header_of(s, slot);
	struct shared_slot *mark = &s->slots[slot];
	pending_answered(s, slot);
	atomic_store_explicit(&mark->unique, 0, memory_order_release);
	atomic_store_explicit(&mark->forgotten, 0, memory_order_release);
	place_canaries(s, slot, header->len);
}

static uint64_t now_ns(void)
{
	enum { NS = 1000000000 };
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

void pending_note(struct shared *s, unsigned slot)
{
	struct fuse_in_header *header = header_of(s, slot);
	struct shared_slot *mark = &s->slots[slot];
	uint64_t number = number_of(header) & ~REQUEST_RESENT;
	if (atomic_load(&mark->unique) == number) {
		header->opcode = atomic_load(&mark->opcode);
		return;
	}
	if (header->opcode < SHARED_OPCODES)
		atomic_fetch_add_explicit(&s->requests[header->opcode], 1,
					  memory_order_relaxed);
	atomic_store_explicit(&mark->opcode, header->opcode, memory_order_relaxed);
	atomic_store_explicit(&mark->since, now_ns(), memory_order_relaxed);
	atomic_store_explicit(&mark->unique, number, memory_order_release);
}

void pending_decide(struct shared *s, unsigned slot, const struct iovec *iov, int count)
{
	struct shared_slot *mark = &s->slots[slot];
	struct fuse_out_header out;
	size_t size = 0;
	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len > SHARED_REPLY - size)
			return;
		memcpy(mark->reply + size, iov[i].iov_base, iov[i].iov_len);
		size += iov[i].iov_len;
	}
	if (size < sizeof(out))
		return;
	memcpy(&out, mark->reply, sizeof(out));
	if (out.unique == number_of(header_of(s, slot)))
		atomic_store_explicit(&mark->reply_size, (uint32_t)size,
				      memory_order_release);
}

/* The number first: without a reply it would be run again. */
void pending_answered(struct shared *s, unsigned slot)
{
	clear_number(header_of(s, slot));
	atomic_store_explicit(&s->slots[slot].reply_size, 0, memory_order_release);
}

enum pending_state pending_state(struct shared *s, unsigned slot)
{
	const struct fuse_in_header *header = header_of(s, slot);
	const struct shared_slot *mark = &s->slots[slot];
	uint64_t number = number_of(header);
	size_t size = header->len;
	if (number == 0 || size < sizeof(*header) || size > SHARED_BUFFER)
		return PENDING_NONE;
	if (atomic_load(&mark->reply_size) > 0)
		return PENDING_DECIDED;
	return is_whole(s, slot, size) ? PENDING_RECEIVED : PENDING_NONE;
}

size_t pending_reply(struct shared *s, unsigned slot, const void **ret)
{
	const struct shared_slot *mark = &s->slots[slot];
	size_t size = atomic_load(&mark->reply_size);
	*ret = mark->reply;
	return size < SHARED_REPLY ? size : SHARED_REPLY;
}
