/* Names of the overlay: what is made, removed, moved and linked over images. */
#include "tests/unit/overlay_fixture.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void the_lower_is_shown_as_it_is(void **state)
{
	struct overlay_fixture *f = *state;
	cleanup_buffer struct buffer target = BUFFER_INIT;
	struct stat st = see(f, "file");
	assert_int_equal(st.st_mode, S_IFREG | 06755);
	assert_int_equal(st.st_size, 10);
	assert_int_equal(st.st_uid, 7);
	assert_text(f, st.st_ino, "0123456789");
	assert_xattr(f, "file", "user.k", "v");
	assert_names(f, "", "big d empty fifo file h1 link ");
	assert_names(f, "d", "h2 one sub two ");
	assert_int_equal(node_of(f, "h1"), node_of(f, "d/h2"));
	assert_int_equal(overlay_readlink(f->overlay, node_of(f, "link"), &target), 0);
	assert_string_equal(buffer_cstr(&target), "d/one");
	assert_int_equal(look(f, "missing", &st), -ENOENT);
	assert_int_equal(look(f, "file/x", &st), -ENOTDIR);
	assert_false(upper_has_rows(f->upper));
}

static void a_new_file_belongs_to_who_made_it(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat before = see(f, "d");
	uint64_t node = make_text(f, "d/new", "text");
	struct stat st = see(f, "d/new");
	assert_int_equal(st.st_ino, node);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_uid, 100);
	assert_int_equal(st.st_gid, 200);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_size, 4);
	struct stat after = see(f, "d");
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode, before.st_mode);
	assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec);
	assert_int_equal(make(f, "d/new", S_IFREG | 0644, NULL), -EEXIST);
	assert_int_equal(make(f, "d/one", S_IFREG | 0644, NULL), -EEXIST);
	assert_names(f, "d", "h2 one sub two new ");
	restart(f);
	assert_int_equal(node_of(f, "d/new"), node);
	assert_text(f, node, "text");
	assert_names(f, "d", "h2 one sub two new ");
}

static void every_kind_can_be_made(void **state)
{
	struct overlay_fixture *f = *state;
	cleanup_buffer struct buffer target = BUFFER_INIT;
	const struct overlay_new device = { .mode = S_IFCHR | 0600, .rdev = 0x103 };
	struct stat st;
	assert_int_equal(make(f, "p", S_IFIFO | 0600, NULL), 0);
	assert_int_equal(make(f, "s", S_IFSOCK | 0600, NULL), 0);
	assert_int_equal(make(f, "l", S_IFLNK | 0777, "where/to"), 0);
	assert_int_equal(make(f, "n", S_IFDIR | 0700, NULL), 0);
	assert_int_equal(make(f, "n/n", S_IFDIR | 0700, NULL), 0);
	assert_int_equal(
	    overlay_make(f->overlay, &f->caller, TREE_ROOT, "c", &device, &st), 0);
	overlay_release(f->overlay);
	restart(f);
	assert_int_equal(see(f, "p").st_mode, S_IFIFO | 0600);
	assert_int_equal(see(f, "s").st_mode, S_IFSOCK | 0600);
	assert_int_equal(see(f, "c").st_rdev, 0x103);
	assert_int_equal(see(f, "l").st_size, 8);
	assert_int_equal(overlay_readlink(f->overlay, node_of(f, "l"), &target), 0);
	assert_string_equal(buffer_cstr(&target), "where/to");
	assert_int_equal(overlay_readlink(f->overlay, node_of(f, "p"), &target), -EINVAL);
	assert_int_equal(see(f, "n").st_nlink, 3);
	assert_int_equal(see(f, "n/n").st_nlink, 2);
	uint64_t parent;
	assert_int_equal(overlay_parent(f->overlay, node_of(f, "n/n"), &parent), 0);
	assert_int_equal(parent, node_of(f, "n"));
}

static void names_that_cannot_be_are_refused(void **state)
{
	struct overlay_fixture *f = *state;
	char longest[257];
	struct stat st;
	memset(longest, 'n', sizeof(longest));
	longest[256] = '\0';
	assert_int_equal(make(f, longest, S_IFREG, NULL), -ENAMETOOLONG);
	assert_int_equal(overlay_lookup(f->overlay, TREE_ROOT, longest, &st),
			 -ENAMETOOLONG);
	assert_int_equal(make(f, ".", S_IFREG, NULL), -EINVAL);
	assert_int_equal(make(f, "..", S_IFREG, NULL), -EINVAL);
	assert_int_equal(make(f, "file/x", S_IFREG, NULL), -ENOTDIR);
	longest[255] = '\0';
	assert_int_equal(make(f, longest, S_IFREG, NULL), 0);
	(void)see(f, longest);
}

static void a_set_gid_directory_gives_its_group(void **state)
{
	struct overlay_fixture *f = *state;
	const struct stat want = { .st_mode = 02755, .st_gid = 55 };
	struct stat st;
	assert_int_equal(overlay_set(f->overlay, &f->caller, node_of(f, "d"),
				     SET_GID | SET_MODE, &want, &st),
			 0);
	assert_int_equal(make(f, "d/f", S_IFREG | 0644, NULL), 0);
	assert_int_equal(make(f, "d/n", S_IFDIR | 0755, NULL), 0);
	assert_int_equal(see(f, "d/f").st_gid, 55);
	assert_int_equal(see(f, "d/f").st_mode, S_IFREG | 0644);
	assert_int_equal(see(f, "d/n").st_gid, 55);
	assert_int_equal(see(f, "d/n").st_mode, S_IFDIR | 02755);
	assert_int_equal(see(f, "d/n").st_uid, 100);
}

static void what_was_removed_is_gone_and_the_lower_stays(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat st;
	assert_int_equal(drop(f, "d/one", true), -ENOTDIR);
	assert_int_equal(drop(f, "d", false), -EISDIR);
	assert_int_equal(drop(f, "d", true), -ENOTEMPTY);
	assert_int_equal(drop(f, "d/missing", false), -ENOENT);
	assert_int_equal(drop(f, "d/one", false), 0);
	assert_int_equal(drop(f, "d/one", false), -ENOENT);
	assert_int_equal(drop(f, "fifo", false), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(look(f, "d/one", &st), -ENOENT);
		assert_int_equal(look(f, "fifo", &st), -ENOENT);
		assert_names(f, "d", "h2 sub two ");
		restart(f);
	}
	assert_content(f->lower, "d/one", "one");
	assert_listing(f->lower, "d", "h2 one sub two ");
}

static void remove_tree(struct overlay_fixture *f)
{
	static const char *const files[] = { "d/h2", "d/one", "d/two", "d/sub/x" };
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		assert_int_equal(drop(f, files[i], false), 0);
	assert_int_equal(drop(f, "d/sub", true), 0);
	assert_int_equal(drop(f, "d", true), 0);
}

static void through_a_directory_in_a_removed_ones_place_nothing_shines(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat st;
	uint64_t before = node_of(f, "d");
	remove_tree(f);
	assert_int_equal(look(f, "d", &st), -ENOENT);
	assert_int_equal(make(f, "d", S_IFDIR | 0755, NULL), 0);
	assert_int_not_equal(node_of(f, "d"), before);
	for (int i = 0; i < 2; i++) {
		assert_names(f, "d", "");
		assert_int_equal(look(f, "d/one", &st), -ENOENT);
		assert_names(f, "", "big d empty fifo file h1 link ");
		restart(f);
	}
	(void)make_text(f, "d/one", "mine");
	assert_text(f, node_of(f, "d/one"), "mine");
	assert_int_equal(see(f, "h1").st_nlink, 1);
}

static unsigned count_rows(struct overlay_fixture *f)
{
	struct upper_dentry d;
	struct upper_node n;
	unsigned count = 0;
	struct upper_reader *reader = upper_read_list(f->upper);
	assert_int_equal(upper_list_start(reader, TREE_ROOT, 0), 0);
	while (upper_list_next(reader, &d, &n) == 1)
		count++;
	upper_read_end(f->upper, reader);
	return count;
}

static void a_lower_directory_is_moved_with_two_rows(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat st;
	uint64_t d = node_of(f, "d");
	uint64_t x = node_of(f, "d/sub/x");
	assert_int_equal(move(f, "d", "moved", 0), 0);
	assert_int_equal(count_rows(f), 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(look(f, "d", &st), -ENOENT);
		assert_int_equal(node_of(f, "moved"), d);
		assert_int_equal(node_of(f, "moved/sub/x"), x);
		assert_text(f, x, "x");
		assert_names(f, "moved", "h2 one sub two ");
		assert_names(f, "", "big empty fifo file h1 link moved ");
		restart(f);
	}
	assert_int_equal(count_content(f, "files"), 0);
	/* And back again, below another, changed in between. */
	assert_int_equal(put_text(f, x, 1, "y"), 1);
	assert_int_equal(move(f, "moved/sub", "empty/sub", 0), 0);
	assert_int_equal(move(f, "moved", "d", 0), 0);
	assert_int_equal(node_of(f, "d"), d);
	assert_int_equal(node_of(f, "empty/sub/x"), x);
	assert_text(f, x, "xy");
	uint64_t parent;
	assert_int_equal(overlay_parent(f->overlay, node_of(f, "empty/sub"), &parent), 0);
	assert_int_equal(parent, node_of(f, "empty"));
	assert_names(f, "d", "h2 one two ");
	assert_names(f, "", "big d empty fifo file h1 link ");
}

static void a_rename_replaces_only_what_it_may(void **state)
{
	struct overlay_fixture *f = *state;
	uint64_t one = node_of(f, "d/one");
	assert_int_equal(move(f, "d/one", "d", 0), -EISDIR);
	assert_int_equal(move(f, "d", "file", 0), -ENOTDIR);
	assert_int_equal(move(f, "empty", "d", 0), -ENOTEMPTY);
	assert_int_equal(move(f, "d", "d/sub/in", 0), -EINVAL);
	assert_int_equal(move(f, "missing", "new", 0), -ENOENT);
	assert_int_equal(move(f, "d/one", "d/two", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(move(f, "d/one", "d/new", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(move(f, "d/one", "x", RENAME_WHITEOUT), -EINVAL);
	assert_false(upper_has_rows(f->upper) && count_rows(f) > 0);
	assert_int_equal(move(f, "d/one", "d/two", 0), 0);
	assert_int_equal(node_of(f, "d/two"), one);
	assert_names(f, "d", "h2 sub two ");
	assert_int_equal(move(f, "d/two", "new", RENAME_NOREPLACE), 0);
	assert_int_equal(node_of(f, "new"), one);
	assert_int_equal(make(f, "dir", S_IFDIR | 0755, NULL), 0);
	assert_int_equal(move(f, "dir", "empty", 0), 0);
	assert_names(f, "", "big d empty fifo file h1 link new ");
	restart(f);
	assert_text(f, node_of(f, "new"), "one");
	assert_names(f, "d", "h2 sub ");
}

static void an_exchange_swaps_a_file_and_a_directory(void **state)
{
	struct overlay_fixture *f = *state;
	uint64_t one = node_of(f, "d/one");
	uint64_t empty = node_of(f, "empty");
	assert_int_equal(make(f, "empty/in", S_IFDIR | 0755, NULL), 0);
	assert_int_equal(move(f, "d/one", "empty", RENAME_EXCHANGE), 0);
	for (int i = 0; i < 2; i++) {
		uint64_t parent;
		assert_int_equal(node_of(f, "empty"), one);
		assert_int_equal(node_of(f, "d/one"), empty);
		assert_int_equal(overlay_parent(f->overlay, empty, &parent), 0);
		assert_int_equal(parent, node_of(f, "d"));
		assert_names(f, "d/one", "in ");
		assert_names(f, "d", "h2 one sub two ");
		restart(f);
	}
	assert_int_equal(move(f, "d", "d/one/in", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(move(f, "d/one/in", "d", RENAME_EXCHANGE), -EINVAL);
}

static void hard_links_are_one_file_over_copy_up(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat st;
	uint64_t h = node_of(f, "h1");
	assert_int_equal(put_text(f, node_of(f, "d/h2"), 0, "L"), 1);
	assert_text(f, node_of(f, "h1"), "Linked");
	assert_int_equal(see(f, "h1").st_nlink, 2);
	assert_int_equal(join(f, h, "d/h3"), 0);
	assert_int_equal(join(f, h, "d/h3"), -EEXIST);
	assert_int_equal(join(f, node_of(f, "d"), "x"), -EPERM);
	assert_int_equal(see(f, "d/h2").st_nlink, 3);
	assert_int_equal(drop(f, "h1", false), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(look(f, "h1", &st), -ENOENT);
		assert_int_equal(node_of(f, "d/h2"), h);
		assert_int_equal(node_of(f, "d/h3"), h);
		assert_int_equal(see(f, "d/h3").st_nlink, 2);
		assert_int_equal(see(f, "d/h3").st_size, 6);
		restart(f);
	}
	/* Two names of one file: nothing is done. */
	assert_int_equal(move(f, "d/h2", "d/h3", 0), 0);
	assert_names(f, "d", "h2 one sub two h3 ");
	assert_int_equal(drop(f, "d/h2", false), 0);
	assert_text(f, h, "Linked");
	assert_int_equal(drop(f, "d/h3", false), 0);
	restart(f);
	assert_int_equal(count_content(f, "files"), 0);
	assert_content(f->lower, "h1", "linked");
}

static void a_listing_shows_what_was_changed_through_another_link(void **state)
{
	struct overlay_fixture *f = *state;
	const struct stat want = { .st_mode = 0600 };
	struct stat st;
	assert_int_equal(
	    overlay_set(f->overlay, &f->caller, node_of(f, "h1"), SET_MODE, &want, &st),
	    0);
	assert_int_equal(see(f, "d/h2").st_mode, S_IFREG | 0600);
	assert_int_equal(drop(f, "h1", false), 0);
	assert_int_equal(see(f, "d/h2").st_nlink, 1);
}

static void an_unlinked_file_lives_until_it_is_forgotten(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat st;
	uint64_t lower = node_of(f, "file");
	uint64_t mine = make_text(f, "mine", "mine");
	assert_int_equal(put_text(f, lower, 0, "changed"), 7);
	assert_int_equal(overlay_remember(f->overlay, lower), 0);
	assert_int_equal(overlay_remember(f->overlay, mine), 0);
	assert_int_equal(overlay_remember(f->overlay, mine), 0);
	assert_int_equal(drop(f, "file", false), 0);
	assert_int_equal(drop(f, "mine", false), 0);
	(void)upper_reap_now(f->upper);
	assert_int_equal(overlay_stat(f->overlay, mine, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(put_text(f, mine, 4, "!"), 1);
	assert_text(f, mine, "mine!");
	assert_text(f, lower, "changed789");
	overlay_forget(f->overlay, mine, 1, NULL);
	(void)upper_reap_now(f->upper);
	assert_int_equal(count_content(f, "files"), 2);
	overlay_forget(f->overlay, mine, 1, NULL);
	overlay_forget(f->overlay, lower, 1, NULL);
	assert_true(upper_reap_now(f->upper));
	assert_int_equal(count_content(f, "files"), 0);
	assert_int_equal(overlay_stat(f->overlay, mine, &st), -ENOENT);
	assert_int_equal(look(f, "file", &st), -ENOENT);
}

static void a_removed_directory_can_be_looked_at_and_nothing_be_made_in_it(void **state)
{
	struct overlay_fixture *f = *state;
	const struct overlay_new what = { .mode = S_IFREG | 0644 };
	struct stat st;
	uint64_t d = node_of(f, "d");
	assert_int_equal(overlay_remember(f->overlay, d), 0);
	remove_tree(f);
	(void)upper_reap_now(f->upper);
	assert_int_equal(overlay_stat(f->overlay, d, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(overlay_lookup(f->overlay, d, "one", &st), -ENOENT);
	assert_int_equal(overlay_make(f->overlay, &f->caller, d, "n", &what, &st),
			 -ENOENT);
	assert_int_equal(overlay_make_nameless(f->overlay, &f->caller, d, 0600, &st),
			 -ENOENT);
	assert_int_equal(
	    overlay_link(f->overlay, &f->caller, node_of(f, "file"), d, "n", &st),
	    -ENOENT);
	overlay_forget(f->overlay, d, 1, NULL);
}

static void a_nameless_file_gets_a_name_or_goes(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat st[2];
	for (int i = 0; i < 2; i++) {
		assert_int_equal(overlay_make_nameless(f->overlay, &f->caller,
						       node_of(f, "d"), 0640, &st[i]),
				 0);
		overlay_release(f->overlay);
		assert_int_equal(st[i].st_nlink, 0);
		assert_int_equal(st[i].st_mode, S_IFREG | 0640);
		assert_int_equal(put_text(f, st[i].st_ino, 0, "text"), 4);
	}
	assert_names(f, "d", "h2 one sub two ");
	assert_int_equal(join(f, st[0].st_ino, "d/named"), 0);
	overlay_forget(f->overlay, st[0].st_ino, 1, NULL);
	overlay_forget(f->overlay, st[1].st_ino, 1, NULL);
	(void)upper_reap_now(f->upper);
	assert_int_equal(count_content(f, "files"), 1);
	restart(f);
	assert_int_equal(node_of(f, "d/named"), st[0].st_ino);
	assert_int_equal(see(f, "d/named").st_nlink, 1);
	assert_text(f, st[0].st_ino, "text");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVERLAY_TEST(the_lower_is_shown_as_it_is),
		OVERLAY_TEST(a_new_file_belongs_to_who_made_it),
		OVERLAY_TEST(every_kind_can_be_made),
		OVERLAY_TEST(names_that_cannot_be_are_refused),
		OVERLAY_TEST(a_set_gid_directory_gives_its_group),
		OVERLAY_TEST(what_was_removed_is_gone_and_the_lower_stays),
		OVERLAY_TEST(through_a_directory_in_a_removed_ones_place_nothing_shines),
		OVERLAY_TEST(a_lower_directory_is_moved_with_two_rows),
		OVERLAY_TEST(a_rename_replaces_only_what_it_may),
		OVERLAY_TEST(an_exchange_swaps_a_file_and_a_directory),
		OVERLAY_TEST(hard_links_are_one_file_over_copy_up),
		OVERLAY_TEST(a_listing_shows_what_was_changed_through_another_link),
		OVERLAY_TEST(an_unlinked_file_lives_until_it_is_forgotten),
		OVERLAY_TEST(
		    a_removed_directory_can_be_looked_at_and_nothing_be_made_in_it),
		OVERLAY_TEST(a_nameless_file_gets_a_name_or_goes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
