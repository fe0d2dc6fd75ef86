/* Rows that are carried over to another lower: each rule, by what is shown then. */
#include "tests/unit/rebase_fixture.h"

#include <stdlib.h>
#include <string.h>

#define PYC "d/__pycache__/one.cpython-311.pyc"

static void make_bytecode(struct rebase_fixture *f, const char *dir, const char *path)
{
	(void)make(&f->o, dir, S_IFDIR | 0755, NULL);
	(void)make_text(&f->o, path, "code");
}

static void a_removed_name_stays_removed_while_the_lower_has_the_same(void **state)
{
	struct rebase_fixture *f = *state;
	struct upper_dentry d;
	struct upper_node n;
	struct node lower;
	FROM(f, "d/one=1", "d/two=2", "d/sub/x=x", "d/sub/y=y");
	assert_int_equal(drop(&f->o, "d/one", false), 0);
	assert_int_equal(drop(&f->o, "d/sub/x", false), 0);
	assert_int_equal(drop(&f->o, "d/sub/y", false), 0);
	assert_int_equal(drop(&f->o, "d/sub", true), 0);
	CARRY(f, "a=new", "d/one=1", "d/two=changed", "d/sub/x=x", "d/sub/y=y");
	assert_names(&f->o, "d", "two ");
	assert_file(f, "d/two", "changed");
	assert_true(find_row(&f->o, "d/one", &d, &n));
	assert_int_equal(find(f->o.lower, "d/one", &lower), 0);
	assert_int_equal(d.cookie, tree_cookie(lower.name_id));
	assert_memory_equal(&d.base, &lower.entry.digest, sizeof(d.base));
}

static void a_removed_name_that_the_lower_dropped_leaves_no_row(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "d/two=2");
	assert_int_equal(drop(&f->o, "d/one", false), 0);
	CARRY(f, "d/two=2");
	assert_int_equal(count_rows(f), 1); /* the pin of d */
	CARRY(f, "d/one=back", "d/two=2");
	assert_file(f, "d/one", "back");
}

static void a_removed_name_with_other_content_is_a_conflict(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "e/x=x", "e/y=y", "k=k");
	assert_int_equal(drop(&f->o, "d/one", false), 0);
	assert_int_equal(drop(&f->o, "e/x", false), 0);
	assert_int_equal(drop(&f->o, "e/y", false), 0);
	assert_int_equal(drop(&f->o, "e", true), 0);
	restart(&f->o); /* what was in e goes */
	size_t rows = count_rows(f);
	REFUSE(f, "d/one e ", "d/one=2", "e/x=x", "e/z=y", "k=k");
	assert_int_equal(count_rows(f), rows);
	assert_absent(f, "d/one");
	/* Bytecode in it makes no difference. */
	CARRY(f, "d/one=1", "e/x=x", "e/y=y", "e/__pycache__/x.pyc=c", "k=k");
	assert_absent(f, "e");
}

static void a_new_file_stays_goes_or_is_a_conflict(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1");
	(void)make_text(&f->o, "d/mine", "mine");
	(void)make_text(&f->o, "d/same", "same");
	assert_int_equal(make(&f->o, "d/empty", S_IFREG | 0644, NULL), 0);
	CARRY(f, "d/one=other", "d/same=same", "d/empty=");
	assert_file(f, "d/mine", "mine");
	assert_file(f, "d/same", "same");
	assert_file(f, "d/one", "other");
	assert_int_equal(count_rows(f), 2); /* d and mine */
	assert_int_equal(count_content(&f->o, "files"), 1);
	REFUSE(f, "d/mine ", "d/mine=theirs");
	REFUSE(f, "d/mine ", "d/mine/is/a/directory=now");
	assert_file(f, "d/mine", "mine");
}

static void a_new_symlink_is_compared_by_its_target(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1");
	assert_int_equal(make(&f->o, "d/link", S_IFLNK | 0777, "one"), 0);
	CARRY(f, "d/one=2");
	cleanup_buffer struct buffer target = BUFFER_INIT;
	assert_int_equal(
	    overlay_readlink(f->o.overlay, node_of(&f->o, "d/link"), &target), 0);
	assert_string_equal(buffer_cstr(&target), "one");
	REFUSE(f, "d/link ", "d/link=one");
}

static void a_replaced_file_stays_while_the_lower_has_the_same(void **state)
{
	struct rebase_fixture *f = *state;
	struct upper_dentry d;
	struct upper_node n;
	struct node lower;
	FROM(f, "one=1", "two=2");
	(void)make_text(&f->o, "new", "mine");
	assert_int_equal(move(&f->o, "new", "one", 0), 0);
	CARRY(f, "a=a", "one=1", "two=3");
	assert_file(f, "one", "mine");
	assert_names(&f->o, "", "a one two ");
	assert_true(find_row(&f->o, "one", &d, &n));
	assert_int_equal(find(f->o.lower, "one", &lower), 0);
	assert_int_equal(d.cookie, tree_cookie(lower.name_id));
	assert_memory_equal(&d.base, &lower.entry.digest, sizeof(d.base));
	REFUSE(f, "one ", "one=2");
	REFUSE(f, "one ", "two=2");
	CARRY(f, "one=mine");
	assert_int_equal(count_rows(f), 0);
	assert_file(f, "one", "mine");
}

static void bytecode_never_conflicts(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "d/__pycache__/old.pyc=o", "p/x=x");
	make_bytecode(f, "d/__pycache__", PYC);
	(void)make_text(&f->o, "d/__pycache__/two.pyc", "code");
	write_file(f, "d/__pycache__/old.pyc", "changed");
	make_bytecode(f, "p/__pycache__", "p/__pycache__/x.pyc");
	CARRY(f, "d/one=2", "d/__pycache__/old.pyc=theirs",
	      "d/__pycache__/two.pyc=theirs");
	assert_file(f, PYC, "code");
	assert_file(f, "d/__pycache__/old.pyc", "theirs");
	assert_file(f, "d/__pycache__/two.pyc", "theirs");
	assert_absent(f, "p");
	CARRY(f, "else=1");
	assert_names(&f->o, "", "else ");
	assert_int_equal(count_rows(f), 0);
	assert_int_equal(count_content(&f->o, "files"), 0);
}

static void a_new_directory_is_kept_and_merged(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "one=1");
	assert_int_equal(make(&f->o, "n", S_IFDIR | 0700, NULL), 0);
	assert_int_equal(make(&f->o, "n/sub", S_IFDIR | 0700, NULL), 0);
	(void)make_text(&f->o, "n/mine", "mine");
	(void)make_text(&f->o, "n/same", "same");
	CARRY(f, "one=2");
	assert_names(&f->o, "n", "sub mine same ");
	assert_int_equal(see(&f->o, "n").st_nlink, 3);
	CARRY(f, "n/same=same", "n/theirs=t");
	assert_names(&f->o, "n", "same theirs sub mine ");
	assert_file(f, "n/mine", "mine");
	REFUSE(f, "n/mine ", "n/mine=other", "n/theirs=t");
	REFUSE(f, "n ", "n=file");
	CARRY(f, "one=1");
	assert_names(&f->o, "n", "sub mine ");
	assert_file(f, "n/mine", "mine");
}

static void a_directory_in_place_of_a_removed_one_shows_nothing_of_it(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "d/two=2");
	assert_int_equal(drop(&f->o, "d/one", false), 0);
	assert_int_equal(drop(&f->o, "d/two", false), 0);
	assert_int_equal(drop(&f->o, "d", true), 0);
	assert_int_equal(make(&f->o, "d", S_IFDIR | 0755, NULL), 0);
	(void)make_text(&f->o, "d/mine", "mine");
	CARRY(f, "a=a", "d/one=1", "d/two=2");
	assert_names(&f->o, "d", "mine ");
	REFUSE(f, "d/two ", "d/one=1", "d/two=3");
	CARRY(f, "a=a");
	assert_names(&f->o, "d", "mine ");
}

static void a_changed_directory_keeps_its_attributes(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1");
	uint64_t before = node_of(&f->o, "d");
	assert_int_equal(set_mode(&f->o, "d", 0500), 0);
	assert_int_equal(set_xattr(&f->o, "d", "user.k", "v"), 0);
	CARRY(f, "a=a", "d/one=2", "d/two=2");
	assert_int_not_equal(node_of(&f->o, "d"), before);
	assert_int_equal(see(&f->o, "d").st_mode, S_IFDIR | 0500);
	assert_xattr(&f->o, "d", "user.k", "v");
	assert_names(&f->o, "d", "one two ");
}

static void a_dropped_directory_stays_with_what_was_made_in_it(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "p/sub/one=1", "p/two=2", "q/three=3");
	(void)make_text(&f->o, "p/sub/mine", "mine");
	make_bytecode(f, "p/__pycache__", "p/__pycache__/two.pyc");
	assert_int_equal(set_mode(&f->o, "q/three", 0600), 0);
	CARRY(f, "else=1");
	assert_names(&f->o, "", "else p ");
	assert_names(&f->o, "p/sub", "mine ");
	assert_int_equal(see(&f->o, "p").st_nlink, 4);
	assert_int_equal(
	    overlay_parent(f->o.overlay, node_of(&f->o, "p/sub"), &(uint64_t){ 0 }), 0);
	REFUSE(f, "p ", "p=file");
	CARRY(f, "p/sub/one=1", "p/two=2");
	assert_names(&f->o, "p/sub", "one mine ");
}

static void a_dropped_directory_under_a_file_conflicts_unless_it_is_bytecode(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "p/one=1", "q/two=2");
	(void)make_text(&f->o, "p/mine", "mine");
	make_bytecode(f, "q/__pycache__", "q/__pycache__/two.pyc");
	REFUSE(f, "p ", "p=file", "q=file");
	CARRY(f, "p/one=2", "q=file");
	assert_file(f, "q", "file");
}

static void changed_content_follows_its_base(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "two=2");
	write_file(f, "d/one", "edited");
	assert_int_equal(set_mode(&f->o, "d/one", 0600), 0);
	uint64_t before = node_of(&f->o, "d/one");
	CARRY(f, "a=a", "d/new=n", "d/one=1", "two=22");
	assert_int_not_equal(node_of(&f->o, "d/one"), before);
	assert_file(f, "d/one", "edited");
	assert_int_equal(see(&f->o, "d/one").st_mode, S_IFREG | 0600);
	assert_int_equal(count_content(&f->o, "files"), 1);
	REFUSE(f, "d/one ", "d/one=2");
	REFUSE(f, "d/one ", "two=2");
	REFUSE(f, "d/one ", "d/one/x=1");
	CARRY(f, "d/one=edited");
	assert_int_equal(count_content(&f->o, "files"), 0);
	assert_file(f, "d/one", "edited");
	assert_int_equal(count_rows(f), 0);
}

static void attributes_move_to_the_new_file(void **state)
{
	struct rebase_fixture *f = *state;
	const struct stat set = { .st_mtim = { .tv_sec = 5000 } };
	FROM(f, "one=1", "two=2", "gone=3", "type=4");
	assert_int_equal(set_mode(&f->o, "one", 0600), 0);
	assert_int_equal(set_xattr(&f->o, "one", "user.k", "v"), 0);
	assert_int_equal(set_attributes(&f->o, "one", SET_MTIME, &set), 0);
	assert_int_equal(set_attributes(&f->o, "two", SET_MTIME, &set), 0);
	assert_int_equal(set_mode(&f->o, "gone", 0600), 0);
	assert_int_equal(set_mode(&f->o, "type", 0600), 0);
	CARRY(f, "a=a", "one=changed", "two=2", "type/is=other");
	struct node lower;
	assert_int_equal(find(f->o.lower, "one", &lower), 0);
	assert_file(f, "one", "changed");
	struct stat st = see(&f->o, "one");
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_mtim.tv_sec, lower.entry.mtime);
	assert_int_equal(st.st_size, 7);
	assert_xattr(&f->o, "one", "user.k", "v");
	assert_int_equal(see(&f->o, "two").st_mtim.tv_sec, 5000);
	assert_absent(f, "gone");
	assert_int_equal(count_rows(f), 2);
}

static void what_was_renamed_is_carried_whole(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "d/sub/x=x", "d/sub/y=y", "file=content");
	write_file(f, "d/sub/x", "edited");
	assert_int_equal(set_mode(&f->o, "d/sub/y", 0600), 0);
	assert_int_equal(drop(&f->o, "d/one", false), 0);
	(void)make_text(&f->o, "d/mine", "mine");
	assert_int_equal(move(&f->o, "d", "moved", 0), 0);
	assert_int_equal(move(&f->o, "file", "elsewhere", 0), 0);
	CARRY(f, "other=1");
	assert_names(&f->o, "", "other moved elsewhere ");
	assert_names(&f->o, "moved/sub", "x y ");
	assert_file(f, "moved/sub/x", "edited");
	assert_file(f, "moved/sub/y", "y");
	assert_int_equal(see(&f->o, "moved/sub/y").st_mode, S_IFREG | 0600);
	assert_file(f, "moved/mine", "mine");
	assert_file(f, "elsewhere", "content");
	assert_absent(f, "moved/one");
	assert_int_equal(see(&f->o, "moved").st_nlink, 3);
	assert_int_equal(see(&f->o, "elsewhere").st_nlink, 1);
	CARRY(f, "file=content", "d/one=1");
	assert_names(&f->o, "", "d file moved elsewhere ");
}

static void a_rename_of_what_the_lower_changed_is_a_conflict(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "file=content");
	assert_int_equal(move(&f->o, "d", "moved", 0), 0);
	assert_int_equal(move(&f->o, "file", "elsewhere", 0), 0);
	REFUSE(f, "d elsewhere file ", "d/one=2", "file=new", "elsewhere=3");
	CARRY(f, "d/one=1", "file=content", "moved/one=1", "elsewhere=content");
	assert_names(&f->o, "", "elsewhere moved ");
	assert_file(f, "moved/one", "1");
}

static void what_was_put_back_is_no_change(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "two=2", "three=3", "r/x=x");
	write_file(f, "d/one", "edited");
	write_file(f, "d/one", "1");
	assert_int_equal(drop(&f->o, "two", false), 0);
	(void)make_text(&f->o, "two", "2");
	(void)make_text(&f->o, "new", "3");
	assert_int_equal(move(&f->o, "new", "three", 0), 0);
	assert_int_equal(move(&f->o, "r", "away", 0), 0);
	assert_int_equal(move(&f->o, "away", "r", 0), 0);
	CARRY(f, "d/one=11", "two=22", "r/x=xx", "r/y=y");
	assert_file(f, "d/one", "11");
	assert_file(f, "two", "22");
	assert_absent(f, "three");
	assert_names(&f->o, "r", "x y ");
	assert_file(f, "r/x", "xx");
}

static void hard_links_stay_one_file(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1", "keep=k");
	assert_int_equal(join(&f->o, node_of(&f->o, "d/one"), "other"), 0);
	CARRY(f, "a=a", "d/one=1", "keep=k");
	assert_int_equal(node_of(&f->o, "d/one"), node_of(&f->o, "other"));
	assert_int_equal(see(&f->o, "other").st_nlink, 2);
	assert_file(f, "other", "1");
	/* It says what the lower says, so that name follows it. */
	CARRY(f, "d/one=2");
	assert_file(f, "d/one", "2");
	assert_file(f, "other", "1");
	assert_int_equal(see(&f->o, "other").st_nlink, 1);
}

static void a_link_to_a_file_that_the_lower_changed_keeps_what_it_was(void **state)
{
	struct rebase_fixture *f = *state;
	FROM(f, "d/one=1");
	assert_int_equal(join(&f->o, node_of(&f->o, "d/one"), "other"), 0);
	CARRY(f, "d/one=2");
	assert_file(f, "d/one", "2");
	assert_file(f, "other", "1");
	assert_int_equal(see(&f->o, "other").st_nlink, 1);
	assert_int_equal(see(&f->o, "d/one").st_nlink, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		REBASE_TEST(a_removed_name_stays_removed_while_the_lower_has_the_same),
		REBASE_TEST(a_removed_name_that_the_lower_dropped_leaves_no_row),
		REBASE_TEST(a_removed_name_with_other_content_is_a_conflict),
		REBASE_TEST(a_new_file_stays_goes_or_is_a_conflict),
		REBASE_TEST(a_new_symlink_is_compared_by_its_target),
		REBASE_TEST(a_replaced_file_stays_while_the_lower_has_the_same),
		REBASE_TEST(bytecode_never_conflicts),
		REBASE_TEST(a_new_directory_is_kept_and_merged),
		REBASE_TEST(a_directory_in_place_of_a_removed_one_shows_nothing_of_it),
		REBASE_TEST(a_changed_directory_keeps_its_attributes),
		REBASE_TEST(a_dropped_directory_stays_with_what_was_made_in_it),
		REBASE_TEST(
		    a_dropped_directory_under_a_file_conflicts_unless_it_is_bytecode),
		REBASE_TEST(changed_content_follows_its_base),
		REBASE_TEST(attributes_move_to_the_new_file),
		REBASE_TEST(what_was_renamed_is_carried_whole),
		REBASE_TEST(a_rename_of_what_the_lower_changed_is_a_conflict),
		REBASE_TEST(what_was_put_back_is_no_change),
		REBASE_TEST(hard_links_stay_one_file),
		REBASE_TEST(a_link_to_a_file_that_the_lower_changed_keeps_what_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
