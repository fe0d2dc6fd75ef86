/* What an upper keeps over a crash and a power cut, and numbers that never come again. */
#include "tests/unit/upper_fixture.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool is_set_back;

/* In place of libc's: a wall clock that is set back by an hour after it was read. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);
	if (is_set_back && clock == CLOCK_REALTIME)
		ret->tv_sec += 3600;
	return r;
}

static const char *const names[] = { "a", "b", "c", "d" };
enum { NAMES = sizeof(names) / sizeof(*names) };

/* The largest number that a row holds, as node or as cookie. */
static const char largest[] = "SELECT max(n) FROM (SELECT id & ((1 << 51) - 1) AS n FROM "
			      "node UNION SELECT cookie & ((1 << 61) - 1) FROM dentry)";

static void add_two(struct upper *u)
{
	uint64_t id = upper_add_file(u, ROOT, names[0]);
	upper_write(u, id, "content");
	(void)upper_add_file(u, ROOT, names[1]);
}

static void numbers_go_on_over_close_and_open(void **state)
{
	struct upper_fixture *f = *state;
	uint64_t before = 0;
	for (int i = 0; i < NAMES; i++) {
		upper_start(f);
		uint64_t id = upper_add_file(f->upper, ROOT, names[i]);
		struct upper_dentry dentry;
		struct upper_node node;
		assert_int_equal(upper_lookup(f->upper, ROOT, names[i], &dentry, &node),
				 0);
		assert_true((id & ~NODE_UPPER) > before);
		before = dentry.cookie & ~COOKIE_UPPER;
		assert_true(before > (id & ~NODE_UPPER));
		upper_stop(f);
		/* A clean end wastes none. */
		assert_int_equal(upper_number(f, "SELECT next FROM meta"), before + 1);
		assert_int_equal(upper_number(f, "SELECT mark FROM meta"), before + 1);
		assert_int_equal(upper_number(f, "SELECT clean FROM meta"), 1);
	}
}

static void what_was_committed_survives_a_crash(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_dentry dentry;
	struct upper_node node;
	cleanup_content struct content_ref ref = CONTENT_NONE;
	char bytes[8] = "";
	upper_crash(f, add_two);
	upper_start(f);
	assert_rows(f->upper, ROOT, 0, "a b ");
	assert_int_equal(upper_lookup(f->upper, ROOT, "a", &dentry, &node), 0);
	assert_int_equal(content_open(f->upper, node.id, &ref), 0);
	assert_int_equal(pread(ref.fd, bytes, sizeof(bytes), 0), 7);
	assert_string_equal(bytes, "content");
}

static void stop_inside_a_change(struct upper *u)
{
	struct upper_reader *reader;
	add_two(u);
	if (upper_begin(u, true, &reader) < 0)
		return;
	uint64_t id = upper_new_node(u);
	struct upper_node node = upper_row_of_file(id);
	struct upper_dentry dentry =
	    upper_row_of_name(ROOT, "c", id, upper_new_cookie(u));
	(void)upper_insert_node(u, &node, NULL);
	(void)upper_put_dentry(u, &dentry);
}

static void what_was_not_committed_is_gone_after_a_crash(void **state)
{
	struct upper_fixture *f = *state;
	upper_crash(f, stop_inside_a_change);
	upper_start(f);
	assert_rows(f->upper, ROOT, 0, "a b ");
	assert_true(upper_add_file(f->upper, ROOT, "c") != 0);
	assert_rows(f->upper, ROOT, 0, "a b c ");
}

static void numbers_go_on_after_a_crash(void **state)
{
	struct upper_fixture *f = *state;
	upper_crash(f, add_two);
	upper_start(f);
	struct upper_dentry dentry;
	struct upper_node node;
	assert_int_equal(upper_lookup(f->upper, ROOT, "b", &dentry, &node), 0);
	uint64_t id = upper_add_file(f->upper, ROOT, "c");
	assert_true((id & ~NODE_UPPER) > (dentry.cookie & ~COOKIE_UPPER));
}

static void numbers_are_reserved_again_before_they_run_out(void **state)
{
	enum { MANY = 70000 };
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	upper_start(f);
	(void)upper_add_file(f->upper, ROOT, "a");
	uint64_t before = 0;
	for (int i = 0; i < MANY / 50; i++) {
		assert_int_equal(upper_begin(f->upper, true, &reader), 0);
		for (int k = 0; k < 50; k++) {
			uint64_t id = upper_new_node(f->upper);
			assert_true(id > before);
			before = id;
		}
		assert_int_equal(upper_commit(f->upper, NULL), 0);
		upper_end(f->upper);
	}
	upper_stop(f);
	assert_true(upper_number(f, "SELECT next FROM meta") > MANY);
}

/* As after a power cut: the end was not clean, and the boot is another. */
static void crash_and_boot(struct upper_fixture *f, void (*change)(struct upper *u))
{
	upper_crash(f, change);
	upper_sql(f, "UPDATE meta SET boot = 'another'");
	assert_int_equal(upper_number(f, "SELECT clean FROM meta"), 0);
}

static void after_a_power_cut_counting_goes_on_behind_the_mark(void **state)
{
	struct upper_fixture *f = *state;
	crash_and_boot(f, add_two);
	int64_t mark = upper_number(f, "SELECT mark FROM meta");
	assert_true(mark > upper_number(f, largest));
	upper_start(f);
	uint64_t id = upper_add_file(f->upper, ROOT, "c");
	assert_true((id & ~NODE_UPPER) >= (uint64_t)mark);
	assert_rows(f->upper, ROOT, 0, "a b c ");
}

static void after_a_clean_end_another_boot_changes_nothing(void **state)
{
	struct upper_fixture *f = *state;
	upper_start(f);
	add_two(f->upper);
	upper_stop(f);
	upper_sql(f, "UPDATE meta SET boot = 'another'");
	int64_t next = upper_number(f, "SELECT next FROM meta");
	upper_start(f);
	uint64_t id = upper_add_file(f->upper, ROOT, "c");
	assert_int_equal(id & ~NODE_UPPER, next);
}

static uint32_t flags_of(struct upper_fixture *f, uint64_t id)
{
	struct upper_node node;
	struct upper_reader *reader = upper_read(f->upper);
	assert_int_equal(upper_find_node(reader, id, &node), 0);
	upper_read_end(f->upper, reader);
	return node.flags;
}

static void a_row_says_that_there_is_content_from_the_next_change_on(void **state)
{
	struct upper_fixture *f = *state;
	upper_start(f);
	uint64_t a = upper_add_file(f->upper, ROOT, "a");
	uint64_t b = upper_add_file(f->upper, ROOT, "b");
	upper_write(f->upper, a, "content");
	(void)upper_add_file(f->upper, ROOT, "c");
	assert_int_equal(flags_of(f, a), NODE_CONTENT);
	assert_int_equal(flags_of(f, b), 0);
	upper_write(f->upper, b, "content");
	upper_stop(f);
	upper_start(f);
	assert_int_equal(flags_of(f, b), NODE_CONTENT);
}

static void a_change_of_a_row_says_so_itself(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	struct upper_node node;
	struct upper_node again;
	upper_start(f);
	uint64_t a = upper_add_file(f->upper, ROOT, "a");
	/* The janitor cannot come in between. */
	assert_int_equal(upper_begin(f->upper, false, &reader), 0);
	upper_write(f->upper, a, "content");
	assert_int_equal(upper_find_node(reader, a, &node), 0);
	assert_int_equal(upper_update_node(f->upper, &node), 0);
	assert_int_equal(upper_find_node(reader, a, &node), 0);
	assert_int_equal(upper_commit(f->upper, NULL), 0);
	assert_int_equal(upper_find_node(reader, a, &again), 0);
	upper_end(f->upper);
	assert_int_equal(node.flags, NODE_CONTENT);
	assert_int_equal(again.change, node.change);
	upper_stop(f);
	upper_start(f);
	assert_int_equal(flags_of(f, a), NODE_CONTENT);
}

static void noted_and_lost(struct upper *u)
{
	add_two(u);
	(void)upper_add_file(u, ROOT, "c");
	/* Its number is the first. */
	(void)content_remove(u, NODE_UPPER | 1);
}

static void what_was_lost_in_a_power_cut_is_empty(void **state)
{
	struct upper_fixture *f = *state;
	struct stat st;
	crash_and_boot(f, noted_and_lost);
	assert_int_equal(upper_number(f, "SELECT flags FROM node ORDER BY id"),
			 NODE_CONTENT);
	assert_int_equal(upper_count_files(f, "files"), 0);
	upper_start(f);
	assert_int_equal(content_stat(f->upper, NODE_UPPER | 1, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(st.st_mtim.tv_sec, upper_row_of_file(1).mtime.tv_sec);
}

static void lose_rows(struct upper *u)
{
	struct upper_reader *reader;
	struct upper_node lower = upper_row_of_file(77);
	add_two(u);
	upper_write(u, NODE_UPPER | 5000, "its row was lost");
	/* A lower file whose copy was made and not yet said to count. */
	upper_write(u, 77, "does not count");
	upper_write(u, 78, "has no row");
	if (upper_begin(u, true, &reader) == 0 && upper_insert_node(u, &lower, NULL) == 0)
		(void)upper_commit(u, NULL);
	upper_end(u);
}

static void after_a_power_cut_content_that_no_row_knows_is_swept(void **state)
{
	struct upper_fixture *f = *state;
	struct stat st;
	crash_and_boot(f, lose_rows);
	assert_int_equal(upper_count_files(f, "files"), 4);
	upper_start(f);
	assert_int_equal(upper_count_files(f, "files"), 1);
	assert_int_equal(content_stat(f->upper, NODE_UPPER | 5000, &st), -ENOENT);
	upper_stop(f);
	upper_start(f);
	assert_rows(f->upper, ROOT, 0, "a b ");
}

static void stage(struct upper *u)
{
	add_two(u);
	if (content_stage(u, 77) < 0)
		abort();
}

static void what_was_staged_is_removed_at_the_next_start(void **state)
{
	struct upper_fixture *f = *state;
	upper_crash(f, stage);
	assert_int_equal(upper_count_files(f, "staging"), 1);
	upper_start(f);
	assert_int_equal(upper_count_files(f, "staging"), 0);
}

static void what_has_a_name_is_not_reaped(void **state)
{
	struct upper_fixture *f = *state;
	upper_start(f);
	uint64_t id = upper_add_file(f->upper, ROOT, "a");
	upper_write(f->upper, id, "content");
	upper_reap(f->upper, id);
	(void)upper_reap_now(f->upper);
	assert_rows(f->upper, ROOT, 0, "a ");
	assert_int_equal(upper_count_files(f, "files"), 1);
}

static void unlink_a(struct upper *u)
{
	struct upper_reader *reader;
	struct upper_dentry dentry;
	struct upper_node node;
	add_two(u);
	if (upper_begin(u, false, &reader) < 0 ||
	    upper_find_dentry(reader, ROOT, "a", 1, &dentry, &node) < 0)
		return;
	node.nlink = 0;
	if (upper_delete_dentry(u, ROOT, "a", 1) == 0 &&
	    upper_update_node(u, &node) == 0 &&
	    upper_put_xattr(u, node.id, "user.x", "1", 1) == 0)
		(void)upper_commit(u, NULL);
	upper_end(u);
}

static void orphans_of_a_crash_are_reaped_by_the_next_start(void **state)
{
	struct upper_fixture *f = *state;
	upper_crash(f, unlink_a);
	assert_int_equal(upper_count_files(f, "files"), 1);
	upper_start(f);
	assert_int_equal(upper_reap_left(f->upper, NULL, NULL), 0);
	(void)upper_reap_now(f->upper);
	assert_int_equal(upper_count_files(f, "files"), 0);
	upper_stop(f);
	assert_int_equal(upper_number(f, "SELECT count(*) FROM node"), 1);
	assert_int_equal(upper_number(f, "SELECT count(*) FROM xattr"), 0);
}

static void a_wall_clock_that_is_set_back_keeps_no_orphan(void **state)
{
	struct upper_fixture *f = *state;
	upper_start(f);
	unlink_a(f->upper);
	is_set_back = true;
	upper_reap(f->upper, NODE_UPPER | 1);
	for (int i = 0; i < 1000 && upper_count_files(f, "files") > 0; i++)
		(void)usleep(10000);
	is_set_back = false;
	assert_int_equal(upper_count_files(f, "files"), 0);
}

static void orphans_are_reaped_by_themselves_and_at_the_end(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_dentry dentry;
	struct upper_node node;
	upper_start(f);
	unlink_a(f->upper);
	uint64_t b = 0;
	assert_int_equal(upper_lookup(f->upper, ROOT, "b", &dentry, &node), 0);
	b = node.id;
	upper_write(f->upper, b, "stays");
	assert_int_equal(upper_count_files(f, "files"), 2);
	/* Its number is the first that was given. */
	upper_reap(f->upper, NODE_UPPER | 1);
	for (int i = 0; i < 500 && upper_count_files(f, "files") > 1; i++)
		(void)usleep(10000);
	assert_int_equal(upper_count_files(f, "files"), 1);
	upper_stop(f);
	assert_int_equal(upper_number(f, "SELECT count(*) FROM node"), 1);
	assert_int_equal(upper_number(f, "SELECT id FROM node"), b);
	upper_start(f);
	unlink_a(f->upper);
	upper_stop(f);
	assert_int_equal(upper_number(f, "SELECT count(*) FROM node WHERE nlink = 0"), 0);
	assert_int_equal(upper_count_files(f, "files"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UPPER_TEST(numbers_go_on_over_close_and_open),
		UPPER_TEST(what_was_committed_survives_a_crash),
		UPPER_TEST(what_was_not_committed_is_gone_after_a_crash),
		UPPER_TEST(numbers_go_on_after_a_crash),
		UPPER_TEST(numbers_are_reserved_again_before_they_run_out),
		UPPER_TEST(after_a_power_cut_counting_goes_on_behind_the_mark),
		UPPER_TEST(after_a_clean_end_another_boot_changes_nothing),
		UPPER_TEST(a_row_says_that_there_is_content_from_the_next_change_on),
		UPPER_TEST(a_change_of_a_row_says_so_itself),
		UPPER_TEST(what_was_lost_in_a_power_cut_is_empty),
		UPPER_TEST(after_a_power_cut_content_that_no_row_knows_is_swept),
		UPPER_TEST(what_was_staged_is_removed_at_the_next_start),
		UPPER_TEST(what_has_a_name_is_not_reaped),
		UPPER_TEST(orphans_of_a_crash_are_reaped_by_the_next_start),
		UPPER_TEST(a_wall_clock_that_is_set_back_keeps_no_orphan),
		UPPER_TEST(orphans_are_reaped_by_themselves_and_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
