/* When serving threads go to a client's CPU, and when away; which CPU a stat line tells.
 */
#include "tests/unit/testing.h"

#include "fusefs/serve/near.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

static void count(struct near *near, uint32_t client, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		(void)near_count(near, client, NEAR_COUNTS);
}

static void a_row_asks_where_the_client_runs(void **state)
{
	(void)state;
	struct near near = { .cpu = NEAR_ANYWHERE };
	unsigned asked = 0;
	for (unsigned i = 0; i <= NEAR_ROW; i++)
		asked += near_count(&near, 7, NEAR_COUNTS);
	assert_int_equal(asked, 1);
	near_found(&near, 3);
	assert_int_equal(near.cpu, 3);
	for (unsigned i = NEAR_ROW; i < 4 * NEAR_AGAIN; i++)
		asked += near_count(&near, 7, NEAR_COUNTS);
	assert_int_equal(asked, 1 + 4);
}

static void others_and_pages_end_it(void **state)
{
	(void)state;
	struct near near = { .cpu = NEAR_ANYWHERE };
	count(&near, 7, NEAR_ROW + 1);
	near_found(&near, 1);
	assert_false(near_count(&near, 0, NEAR_ASIDE));
	assert_int_equal(near.cpu, 1);
	count(&near, 8, 1);
	assert_int_equal(near.cpu, NEAR_ANYWHERE);
	count(&near, 8, NEAR_ROW + 1);
	near_found(&near, 1);
	assert_false(near_count(&near, 8, NEAR_PAGES));
	assert_false(near_count(&near, 8, NEAR_PAGES));
	assert_int_equal(near.cpu, NEAR_ANYWHERE);
	/* Who cannot be named is never found. */
	for (unsigned i = 0; i < 4 * NEAR_AGAIN; i++)
		assert_false(near_count(&near, 0, NEAR_COUNTS));
}

static void after_one_page_the_client_is_followed(void **state)
{
	(void)state;
	struct near near = { .cpu = NEAR_ANYWHERE };
	count(&near, 7, NEAR_ROW + 1);
	near_found(&near, 1);
	for (int cpu = 2; cpu < 5; cpu++) {
		assert_false(near_count(&near, 7, NEAR_PAGES));
		assert_int_equal(near.cpu, cpu - 1);
		assert_true(near_count(&near, 7, NEAR_COUNTS));
		near_found(&near, cpu);
		assert_int_equal(near.cpu, cpu);
		count(&near, 7, NEAR_ROW);
	}
	/* A page every few requests is too many. */
	assert_false(near_count(&near, 7, NEAR_PAGES));
	count(&near, 7, NEAR_ROW - 1);
	assert_false(near_count(&near, 7, NEAR_PAGES));
	assert_int_equal(near.cpu, NEAR_ANYWHERE);
}

static void a_client_that_goes_about_is_left(void **state)
{
	(void)state;
	struct near near = { .cpu = NEAR_ANYWHERE };
	near_found(&near, 1);
	assert_int_equal(near.cpu, 1);
	near_found(&near, 0);
	assert_int_equal(near.cpu, NEAR_ANYWHERE);
	near_found(&near, 0);
	assert_int_equal(near.cpu, 0);
	near_found(&near, -ESRCH);
	assert_int_equal(near.cpu, NEAR_ANYWHERE);
}

static void the_cpu_in_a_stat_line(void **state)
{
	(void)state;
	assert_int_equal(
	    near_cpu_of_stat(
		"12 (a) b) R 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 "
		"21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 77 40"),
	    77);
	static const char *const bad[] = {
		"",
		"12 (a",
		"12 (a)",
		"12 (a) R 3 4",
		"1 (a) R 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 "
		"21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 -1",
		"1 (a) R 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 "
		"21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 99999",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(near_cpu_of_stat(bad[i]), -EBADMSG);
}

/* This very thread is client and server. */
static void the_thread_is_put_there_and_let_go(void **state)
{
	(void)state;
	cpu_set_t before;
	cpu_set_t now;
	struct near near;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	if (CPU_COUNT(&before) < 2)
		skip();
	near_init(&near, true);
	for (unsigned i = 0; i <= NEAR_ROW; i++)
		near_request(&near, (uint32_t)gettid(), NEAR_COUNTS);
	assert_int_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	assert_int_equal(CPU_COUNT(&now), 1);
	assert_true(CPU_ISSET((size_t)near.cpu, &now));
	near_leave(&near);
	assert_int_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	assert_true(CPU_EQUAL(&now, &before));
	near_finish(&near);
	near_init(&near, false);
	for (unsigned i = 0; i <= NEAR_ROW; i++)
		near_request(&near, (uint32_t)gettid(), NEAR_COUNTS);
	assert_int_equal(near.cpu, NEAR_ANYWHERE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_asks_where_the_client_runs),
		cmocka_unit_test(others_and_pages_end_it),
		cmocka_unit_test(after_one_page_the_client_is_followed),
		cmocka_unit_test(a_client_that_goes_about_is_left),
		cmocka_unit_test(the_cpu_in_a_stat_line),
		cmocka_unit_test(the_thread_is_put_there_and_let_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
