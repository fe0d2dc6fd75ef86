/* What is kept of rows is what a query would find. */
#include "tests/unit/upper_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MANY = 2000 }; /* more than are kept */

static void update(struct upper *u, const struct upper_node *node, bool commit)
{
	struct upper_reader *reader;
	assert_int_equal(upper_begin(u, false, &reader), 0);
	assert_int_equal(upper_update_node(u, node), 0);
	if (commit)
		assert_int_equal(upper_commit(u, NULL), 0);
	upper_end(u);
}

static struct upper_node find(struct upper *u, uint64_t id)
{
	struct upper_node node;
	struct upper_reader *reader = upper_read(u);
	assert_int_equal(upper_find_node(reader, id, &node), 0);
	upper_read_end(u, reader);
	assert_int_equal(node.id, id);
	return node;
}

static void a_row_whose_change_was_undone_is_as_before(void **state)
{
	struct upper_fixture *f = *state;
	upper_start(f);
	uint64_t id = upper_add_file(f->upper, ROOT, "a");
	struct upper_node node = find(f->upper, id);
	const struct upper_node before = node;
	node.uid = 99;
	update(f->upper, &node, false);
	assert_int_equal(find(f->upper, id).uid, before.uid);
	update(f->upper, &node, true);
	assert_int_equal(find(f->upper, id).uid, 99);
	assert_true(find(f->upper, id).change > before.change);
}

static void a_row_that_is_not_there_is_not_kept_by_an_update(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	upper_start(f);
	uint64_t id = upper_add_file(f->upper, ROOT, "a");
	struct upper_node node = upper_row_of_file(id + 1000);
	update(f->upper, &node, true);
	reader = upper_read(f->upper);
	assert_int_equal(upper_find_node(reader, node.id, &node), -ENOENT);
	upper_read_end(f->upper, reader);
}

static void as_many_as_there_are_are_found_changed_and_again_later(void **state)
{
	static uint64_t ids[MANY];
	struct upper_fixture *f = *state;
	char name[16];
	upper_start(f);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		ids[i] = upper_add_file(f->upper, ROOT, name);
	}
	for (int i = 0; i < MANY; i += 3) {
		struct upper_node node = find(f->upper, ids[i]);
		node.uid = (uid_t)(100000 + i);
		update(f->upper, &node, true);
	}
	for (int again = 0; again < 2; again++) {
		for (int i = 0; i < MANY; i++)
			assert_int_equal(find(f->upper, ids[i]).uid,
					 i % 3 == 0 ? 100000 + i : 7);
		upper_stop(f);
		upper_start(f);
	}
}

static bool has(struct upper_fixture *f, uint64_t parent, const char *name)
{
	struct upper_dentry dentry;
	struct upper_node node;
	int r = upper_lookup(f->upper, parent, name, &dentry, &node);
	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* Of `before` and ROOT rows are there at the start, of `since` none. */
static void names_of_earlier_starts_are_found_beside_new_ones(void **state)
{
	struct upper_fixture *f = *state;
	upper_start(f);
	uint64_t before = upper_add_file(f->upper, ROOT, "before");
	assert_true(upper_add_file(f->upper, before, "old") != 0);
	assert_false(has(f, before, "new"));
	upper_stop(f);
	upper_start(f);
	assert_true(has(f, ROOT, "before") && has(f, before, "old"));
	uint64_t since = upper_add_file(f->upper, ROOT, "since");
	assert_true(upper_add_file(f->upper, before, "new") != 0);
	assert_true(upper_add_file(f->upper, since, "new") != 0);
	assert_true(has(f, ROOT, "since") && has(f, before, "new"));
	assert_true(has(f, before, "old") && has(f, since, "new"));
	assert_false(has(f, since, "old"));
	assert_false(has(f, before, "none"));
}

static void crash_with_a_name(struct upper *u)
{
	uint64_t dir = upper_add_file(u, ROOT, "dir");
	(void)upper_add_file(u, dir, "in it");
}

static void names_of_a_killed_server_are_found(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_dentry dentry;
	struct upper_node node;
	upper_crash(f, crash_with_a_name);
	upper_start(f);
	assert_int_equal(upper_lookup(f->upper, ROOT, "dir", &dentry, &node), 0);
	assert_true(has(f, dentry.node, "in it"));
	assert_true(upper_add_file(f->upper, ROOT, "dir2") > dentry.node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UPPER_TEST(a_row_whose_change_was_undone_is_as_before),
		UPPER_TEST(a_row_that_is_not_there_is_not_kept_by_an_update),
		UPPER_TEST(as_many_as_there_are_are_found_changed_and_again_later),
		UPPER_TEST(names_of_earlier_starts_are_found_beside_new_ones),
		UPPER_TEST(names_of_a_killed_server_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
