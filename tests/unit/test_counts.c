/* How often the kernel was told of nodes: counting, growing, and being taken over. */
#include "tests/unit/testing.h"

#include "fusefs/overlay/counts.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NODES = 20000, STEPS = 400000 };

struct fixture {
	struct counts counts;
	void *memory;
	uint16_t expected[NODES];
	bool orphan[NODES];
	uint64_t random;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	if (!f)
		return -1;
	f->memory = mmap(NULL, COUNTS_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	*state = f;
	return f->memory == MAP_FAILED ? -1 : counts_init(&f->counts, f->memory);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	counts_release(&f->counts);
	int r = munmap(f->memory, COUNTS_SIZE);
	free(f);
	return r;
}
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static unsigned draw(struct fixture *f, unsigned below)
{
	f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned)(f->random >> 33) % below;
}

/* Neighbours in one layer, and some made in the mount. */
static uint64_t id_of(unsigned i)
{
	return i % 4 == 0 ? (UINT64_C(1) << 51) + i : (UINT64_C(3) << 32) + i;
}

static void step(struct fixture *f)
{
	unsigned i = draw(f, NODES);
	unsigned what = draw(f, 8);
	uint16_t *has = &f->expected[i];
	if (what < 4) {
		assert_int_equal(counts_add(&f->counts, id_of(i)), 0);
		++*has;
	} else if (what < 7) {
		uint16_t less = (uint16_t)(1 + draw(f, 2 + *has));
		bool gone = less >= *has;
		assert_int_equal(counts_sub(&f->counts, id_of(i), less, NULL),
				 gone && *has > 0 && f->orphan[i]);
		*has = gone ? 0 : (uint16_t)(*has - less);
		f->orphan[i] &= !gone;
	} else {
		bool orphan = draw(f, 2) != 0;
		assert_int_equal(counts_set_orphan(&f->counts, id_of(i), orphan),
				 *has == 0);
		f->orphan[i] = orphan && *has > 0;
	}
}

static void forget_all(struct fixture *f)
{
	for (unsigned i = 0; i < NODES; i++) {
		uint64_t id = id_of(i);
		if (f->expected[i] > 1)
			assert_false(
			    counts_sub(&f->counts, id, f->expected[i] - 1u, NULL));
		assert_int_equal(counts_sub(&f->counts, id, 1, NULL),
				 f->expected[i] > 0 && f->orphan[i]);
		assert_true(counts_set_orphan(&f->counts, id, true));
	}
}

static void counts_are_right_whatever_comes_and_goes(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < STEPS; i++)
		step(f);
	forget_all(f);
}

static void the_next_server_goes_on_with_the_same_counts(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < STEPS; i++) {
		step(f);
		if (i % (STEPS / 5) != 0)
			continue;
		/* As when the one before was killed: nothing was told to end. */
		struct counts before = f->counts;
		assert_int_equal(counts_init(&f->counts, f->memory), 0);
		counts_release(&before);
	}
	forget_all(f);
}

static void what_comes_and_goes_takes_no_more_memory(void **state)
{
	struct fixture *f = *state;
	for (uint64_t id = 1; id < 1000000; id++) {
		assert_int_equal(counts_add(&f->counts, id), 0);
		assert_false(counts_sub(&f->counts, id, 1, NULL));
	}
	size_t touched = 0;
	size_t pages = COUNTS_SIZE / 4096;
	unsigned char *resident = calloc(1, pages);
	assert_non_null(resident);
	assert_int_equal(mincore(f->memory, COUNTS_SIZE, resident), 0);
	for (size_t i = 0; i < pages; i++)
		touched += resident[i] & 1;
	free(resident);
	assert_in_range(touched, 1, 2 * COUNT_SHARDS * 4);
}

enum { ENTRIES = 5000, TIMES = 200 };

/* As a message that names each node TIMES times, from where the one before was killed. */
static void take_off(struct fixture *f, _Atomic(uint32_t) *done)
{
	struct counts mine;
	if (counts_init(&mine, f->memory) < 0)
		_exit(1);
	for (uint32_t i = 0; i < TIMES * ENTRIES; i++) {
		const struct count_once once = { .entry = i, .done = done };
		(void)counts_sub(&mine, id_of(i % ENTRIES), 1, &once);
	}
	_exit(0);
}

static void what_is_taken_off_by_servers_that_are_killed_counts_once(void **state)
{
	struct fixture *f = *state;
	/* In the memory's head, where nothing else is. */
	_Atomic(uint32_t) *done = (void *)((char *)f->memory + COUNT_HEAD - 8);
	int status = 0;
	int kills = 0;
	for (unsigned i = 0; i < ENTRIES * (TIMES + 1); i++)
		assert_int_equal(counts_add(&f->counts, id_of(i % ENTRIES)), 0);
	do {
		uint32_t before = atomic_load(done);
		pid_t pid = fork();
		if (pid == 0)
			take_off(f, done);
		while (atomic_load(done) == before && waitpid(pid, &status, WNOHANG) == 0)
			;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		kills += WIFSIGNALED(status);
	} while (atomic_load(done) < TIMES * ENTRIES);
	assert_true(kills > 1);
	struct counts after;
	assert_int_equal(counts_init(&after, f->memory), 0);
	for (unsigned i = 0; i < ENTRIES; i++) {
		assert_false(counts_set_orphan(&after, id_of(i), true));
		assert_true(counts_sub(&after, id_of(i), 1, NULL));
	}
	counts_release(&after);
}

/* Killed between the note and what it says, and before it was noted as done. */
static void what_was_begun_is_finished(void **state)
{
	struct fixture *f = *state;
	_Atomic(uint32_t) *done = (void *)((char *)f->memory + COUNT_HEAD - 8);
	struct counts next;
	const uint64_t node = id_of(1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(counts_add(&f->counts, node), 0);
	for (uint32_t entry = 0; entry < 2; entry++) {
		const struct count_once once = { .entry = entry, .done = done };
		assert_false(counts_sub(&f->counts, node, 1, &once));
		struct count_note *note = NULL;
		for (int i = 0; i < COUNT_SHARDS; i++) {
			if (atomic_load(&f->counts.shards[i].note->node) == node)
				note = f->counts.shards[i].note;
		}
		assert_non_null(note);
		/* The first had come to the count, and not further; the second not. */
		atomic_store(&note->begun, 1);
		atomic_store(done, entry);
		if (entry == 1)
			assert_int_equal(counts_add(&f->counts, node), 0);
		assert_int_equal(counts_init(&next, f->memory), 0);
		assert_int_equal(atomic_load(done), entry + 1);
		assert_false(counts_sub(&next, node, 1, &once));
		counts_release(&next);
	}
	assert_false(counts_set_orphan(&f->counts, node, true));
	assert_true(counts_sub(&f->counts, node, 1, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counts_are_right_whatever_comes_and_goes),
		TEST(the_next_server_goes_on_with_the_same_counts),
		TEST(what_comes_and_goes_takes_no_more_memory),
		TEST(what_is_taken_off_by_servers_that_are_killed_counts_once),
		TEST(what_was_begun_is_finished),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
