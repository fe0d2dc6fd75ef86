/* Rows that are carried over: linked names, xattrs, and what a crash leaves. */
#include "tests/unit/rebase_fixture.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bool ends_early;

/* In place of libc's: as of a file that ends before its size. */
ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset,
			size_t size, unsigned flags)
{
	return ends_early ? 0
			  : syscall(SYS_copy_file_range, from, from_offset, to, to_offset,
				    size, flags);
}

static void names_that_the_lower_linked_are_changed_together(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "LINKED", "old");
	write_file(f, "h2", "edited");
	REFUSE(f, "h1 h2 ", "LINKED", "new");
	CARRY(f, "LINKED", "old");
	assert_file(f, "h1", "edited");
	assert_file(f, "h2", "edited");
	assert_int_equal(see(&f->o, "h1").st_nlink, 2);
	assert_int_equal(count_content(&f->o, "files"), 1);
	/* Two files: each has it, and a change of one is no change of the other. */
	CARRY(f, "ALONE", "old");
	assert_int_equal(see(&f->o, "h1").st_nlink, 1);
	write_file(f, "h1", "again");
	assert_file(f, "h2", "edited");
	/* One file again, which cannot be both. */
	REFUSE(f, "h2 ", "LINKED", "old");
}

static void content_that_ends_early_is_not_taken_for_copied(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "LINKED", "old");
	write_file(f, "h2", "edited");
	ends_early = true;
	int code = rebase_to(f, ITEMS("ALONE", "old"));
	ends_early = false;
	assert_int_equal(code, -EIO);
	CARRY(f, "ALONE", "old");
	assert_file(f, "h1", "edited");
	assert_file(f, "h2", "edited");
}

static void the_last_of_linked_names_keeps_its_change(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "LINKED", "old");
	assert_int_equal(drop(&f->o, "h1", false), 0);
	write_file(f, "h2", "edited");
	CARRY(f, "LINKED", "old");
	assert_absent(f, "h1");
	assert_file(f, "h2", "edited");
	assert_int_equal(see(&f->o, "h2").st_nlink, 1);
	REFUSE(f, "h1 h2 ", "LINKED", "new");
}

static void xattrs_come_along(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "two=2");
	assert_int_equal(set_xattr(&f->o, "d/one", "user.k", "v"), 0);
	assert_int_equal(move(&f->o, "d", "moved", 0), 0);
	(void)make_text(&f->o, "mine", "mine");
	assert_int_equal(set_xattr(&f->o, "mine", "user.m", "w"), 0);
	CARRY(f, "d/one=1", "two=3");
	assert_xattr(&f->o, "moved/one", "user.k", "v");
	assert_xattr(&f->o, "mine", "user.m", "w");
}

static void the_same_once_more_changes_nothing(void **state)
{
	struct rebase_fixture *f = *state;
	struct upper_dentry a;
	struct upper_dentry b;
	struct upper_node n;
	FROM(f, "d/one=1", "two=2");
	write_file(f, "d/one", "edited");
	(void)make_text(&f->o, "d/mine", "mine");
	assert_int_equal(drop(&f->o, "two", false), 0);
	assert_true(find_row(&f->o, "d/mine", &a, &n));
	CARRY(f, "d/one=1", "two=2");
	assert_int_equal(f->result.kept, 4);
	assert_int_equal(f->result.gone, 0);
	CARRY(f, "d/one=1", "two=2");
	assert_file(f, "d/one", "edited");
	assert_absent(f, "two");
	assert_true(find_row(&f->o, "d/mine", &b, &n));
	assert_int_equal(a.cookie, b.cookie);
	assert_int_equal(a.node, b.node);
	assert_base(f, "after\n");
}

static const char *const crash_after[] = { "a=a", "d/one=1", "two=changed", NULL };

static void prepare_crash(struct rebase_fixture *f)
{
	FROM(f, "d/one=1", "two=2", "r/x=x");
	write_file(f, "d/one", "edited");
	(void)make_text(&f->o, "d/mine", "mine");
	assert_int_equal(move(&f->o, "r", "renamed", 0), 0);
	stop(&f->o);
}

static void crash_at(struct rebase_fixture *f, enum rebase_step step)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		f->die_at = (int)step;
		start(&f->o);
		(void)rebase_to(f, crash_after);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

static void a_crash_before_the_commit_leaves_what_was(void **state)
{
	struct rebase_fixture *f = *state;
	prepare_crash(f);
	for (int step = REBASE_JUDGED; step < REBASE_COMMITTED; step++) {
		crash_at(f, (enum rebase_step)step);
		start(&f->o);
		assert_file(f, "d/one", "edited");
		assert_file(f, "renamed/x", "x");
		assert_int_equal(count_content(&f->o, "files"), 2);
		stop(&f->o);
	}
	start(&f->o);
	assert_int_equal(rebase_to(f, crash_after), 0);
	assert_file(f, "renamed/x", "x");
}

static void check_crash_after_the_commit(struct rebase_fixture *f, enum rebase_step step)
{
	prepare_crash(f);
	crash_at(f, step);
	struct fixture *before = f->o.lower;
	void *held = before;
	rebase_from(f, crash_after);
	assert_int_equal(teardown(&held), 0);
	assert_base(f, "after\n");
	assert_file(f, "d/one", "edited");
	assert_file(f, "d/mine", "mine");
	assert_file(f, "renamed/x", "x");
	assert_file(f, "two", "changed");
	assert_int_equal(count_content(&f->o, "files"), 3);
}

static void a_crash_after_the_commit_leaves_the_new_rows_and_base(void **state)
{
	check_crash_after_the_commit(*state, REBASE_COMMITTED);
}

static void a_crash_before_base_is_replaced_leaves_the_new_one(void **state)
{
	check_crash_after_the_commit(*state, REBASE_CLEANED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		REBASE_TEST(names_that_the_lower_linked_are_changed_together),
		REBASE_TEST(content_that_ends_early_is_not_taken_for_copied),
		REBASE_TEST(the_last_of_linked_names_keeps_its_change),
		REBASE_TEST(xattrs_come_along),
		REBASE_TEST(the_same_once_more_changes_nothing),
		REBASE_TEST(a_crash_before_the_commit_leaves_what_was),
		REBASE_TEST(a_crash_after_the_commit_leaves_the_new_rows_and_base),
		REBASE_TEST(a_crash_before_base_is_replaced_leaves_the_new_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
