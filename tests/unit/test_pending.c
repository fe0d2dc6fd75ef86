/* What a successor makes of the marks that a worker left, killed at whatever instant. */
#include "tests/unit/testing.h"

#include "fusefs/serve/pending.h"
#include "fusefs/serve/request.h"
#include "fusefs/supervise/shared.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOT = 3, NUMBER = 1234, PAGE = 4096, HEADER = 40, WRITE = 16, TMPFILE = 51 };

/* As the kernel's: fuse_in_header and fuse_out_header. */
struct message {
	uint32_t len, opcode;
	uint64_t unique;
	uint8_t rest[24];
};
struct reply {
	uint32_t len;
	int32_t error;
	uint64_t unique;
	uint8_t rest[SHARED_REPLY];
};

static int setup(void **state)
{
	struct shared *s = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s == MAP_FAILED)
		return -1;
	pending_prepare(s, SLOT);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	return munmap(*state, SHARED_SIZE);
}

/* As the kernel hands out a message of `size` bytes, of which it copies `copied`. */
static void receive(struct shared *s, uint64_t number, uint32_t size, uint32_t copied)
{
	const struct message header = { .len = size, .opcode = WRITE, .unique = number };
	uint8_t *buffer = shared_buffer(s, SLOT);
	memcpy(buffer, &header, sizeof(header));
	memset(buffer + HEADER, 'x', copied - HEADER);
}

/* A reply of so many bytes, in two parts as libfuse has them. */
static void decide(struct shared *s, uint64_t number, size_t size)
{
	struct reply r = { .len = (uint32_t)size, .unique = number };
	enum { HEAD = 16 };
	struct iovec iov[] = { { .iov_base = &r, .iov_len = HEAD },
			       { .iov_base = r.rest, .iov_len = size - HEAD } };
	memset(r.rest, 'r', sizeof(r.rest));
	pending_decide(s, SLOT, iov, 2);
}

static void a_request_that_was_received_is_to_be_run(void **state)
{
	struct shared *s = *state;
	assert_int_equal(pending_state(s, SLOT), PENDING_NONE);
	receive(s, NUMBER, 100, 100);
	assert_int_equal(pending_state(s, SLOT), PENDING_RECEIVED);
	pending_note(s, SLOT);
	assert_int_equal(pending_state(s, SLOT), PENDING_RECEIVED);
	assert_int_equal(atomic_load(&s->slots[SLOT].unique), NUMBER);
	assert_int_equal(atomic_load(&s->requests[WRITE]), 1);
}

static void a_request_whose_reply_is_kept_is_not_to_be_run(void **state)
{
	struct shared *s = *state;
	const void *kept;
	struct reply r;
	receive(s, NUMBER, 100, 100);
	pending_note(s, SLOT);
	decide(s, NUMBER, 24);
	assert_int_equal(pending_state(s, SLOT), PENDING_DECIDED);
	assert_int_equal(pending_reply(s, SLOT, &kept), 24);
	memcpy(&r, kept, 24);
	assert_int_equal(r.unique, NUMBER);
	assert_int_equal(r.len, 24);
	assert_int_equal(r.rest[7], 'r');
	pending_answered(s, SLOT);
	assert_int_equal(pending_state(s, SLOT), PENDING_NONE);
}

static void a_reply_is_kept_up_to_its_limit(void **state)
{
	struct shared *s = *state;
	receive(s, NUMBER, 100, 100);
	decide(s, NUMBER, SHARED_REPLY + 1);
	assert_int_equal(pending_state(s, SLOT), PENDING_RECEIVED);
	decide(s, NUMBER, SHARED_REPLY);
	assert_int_equal(pending_state(s, SLOT), PENDING_DECIDED);
}

static void a_reply_to_something_else_is_not_kept(void **state)
{
	struct shared *s = *state;
	receive(s, NUMBER, 100, 100);
	decide(s, NUMBER + 1, 24);
	assert_int_equal(pending_state(s, SLOT), PENDING_RECEIVED);
}

static void the_reply_to_a_request_that_came_again_is_kept(void **state)
{
	struct shared *s = *state;
	receive(s, NUMBER | REQUEST_RESENT, 100, 100);
	pending_note(s, SLOT);
	assert_int_equal(atomic_load(&s->slots[SLOT].unique), NUMBER);
	decide(s, NUMBER | REQUEST_RESENT, 24);
	assert_int_equal(pending_state(s, SLOT), PENDING_DECIDED);
}

static void the_next_request_is_not_taken_for_the_one_before(void **state)
{
	struct shared *s = *state;
	receive(s, NUMBER, 100, 100);
	pending_note(s, SLOT);
	decide(s, NUMBER, 24);
	pending_answered(s, SLOT);
	pending_clear(s, SLOT);
	assert_int_equal(pending_state(s, SLOT), PENDING_NONE);
	assert_int_equal(atomic_load(&s->slots[SLOT].unique), 0);
	receive(s, NUMBER + 2, 100, 100);
	assert_int_equal(pending_state(s, SLOT), PENDING_RECEIVED);
}

static void a_request_has_its_own_opcode_when_it_is_run_again(void **state)
{
	struct shared *s = *state;
	receive(s, NUMBER, 100, 100);
	struct message *m = shared_buffer(s, SLOT);
	m->opcode = TMPFILE;
	pending_note(s, SLOT);
	m->opcode = WRITE; /* for libfuse */
	pending_note(s, SLOT);
	assert_int_equal(m->opcode, TMPFILE);
	assert_int_equal(atomic_load(&s->requests[TMPFILE]), 1);
	assert_int_equal(atomic_load(&s->requests[WRITE]), 0);
}

static void half_a_message_is_not_run(void **state)
{
	struct shared *s = *state;
	const uint32_t size = 5 * PAGE + 80;
	for (uint32_t pages = 1; pages <= 5; pages++) {
		receive(s, NUMBER, size, pages * PAGE);
		assert_int_equal(pending_state(s, SLOT), PENDING_NONE);
		pending_clear(s, SLOT);
	}
	receive(s, NUMBER, size, size);
	assert_int_equal(pending_state(s, SLOT), PENDING_RECEIVED);
	/* Nor is one that lies where a whole one did. */
	pending_clear(s, SLOT);
	receive(s, NUMBER, size, 2 * PAGE);
	assert_int_equal(pending_state(s, SLOT), PENDING_NONE);
}

static void a_message_of_the_largest_size_is_run(void **state)
{
	struct shared *s = *state;
	receive(s, NUMBER, SHARED_BUFFER, SHARED_BUFFER);
	assert_int_equal(pending_state(s, SLOT), PENDING_RECEIVED);
	receive(s, NUMBER, SHARED_BUFFER + 1, SHARED_BUFFER);
	assert_int_equal(pending_state(s, SLOT), PENDING_NONE);
}

/* The whole life of a request, up to an instant. */
static void live_until(struct shared *s, int instant)
{
	for (int i = 0; i < instant; i++) {
		if (i == 0)
			pending_clear(s, SLOT);
		else if (i == 1)
			receive(s, NUMBER, 100, 100);
		else if (i == 2)
			pending_note(s, SLOT);
		else if (i == 3)
			decide(s, NUMBER, 24);
		else if (i == 4)
			pending_answered(s, SLOT);
		else
			pending_clear(s, SLOT);
	}
	(void)kill(getpid(), SIGKILL);
}

static void a_worker_may_be_killed_at_any_instant(void **state)
{
	struct shared *s = *state;
	static const enum pending_state expected[] = { PENDING_NONE,     PENDING_NONE,
						       PENDING_RECEIVED, PENDING_RECEIVED,
						       PENDING_DECIDED,  PENDING_NONE,
						       PENDING_NONE };
	for (int i = 0; i < (int)(sizeof(expected) / sizeof(*expected)); i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0)
			live_until(s, i);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(pending_state(s, SLOT), expected[i]);
		pending_clear(s, SLOT);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_request_that_was_received_is_to_be_run),
		TEST(a_request_whose_reply_is_kept_is_not_to_be_run),
		TEST(a_reply_is_kept_up_to_its_limit),
		TEST(a_reply_to_something_else_is_not_kept),
		TEST(the_reply_to_a_request_that_came_again_is_kept),
		TEST(the_next_request_is_not_taken_for_the_one_before),
		TEST(a_request_has_its_own_opcode_when_it_is_run_again),
		TEST(half_a_message_is_not_run),
		TEST(a_message_of_the_largest_size_is_run),
		TEST(a_worker_may_be_killed_at_any_instant),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
