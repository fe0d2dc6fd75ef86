/* How often the kernel was told of nodes: counting, growing, and being taken over. */
#include "tests/unit/testing.h"

#include "fusefs/overlay/counts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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
		assert_int_equal(counts_sub(&f->counts, id_of(i), less),
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
			assert_false(counts_sub(&f->counts, id, f->expected[i] - 1u));
		assert_int_equal(counts_sub(&f->counts, id, 1),
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
		assert_false(counts_sub(&f->counts, id, 1));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counts_are_right_whatever_comes_and_goes),
		TEST(the_next_server_goes_on_with_the_same_counts),
		TEST(what_comes_and_goes_takes_no_more_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
