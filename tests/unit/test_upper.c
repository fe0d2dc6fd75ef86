/* Rows of the writable layer: changes, crashes, numbers, who may open it. */
#include "tests/unit/upper_fixture.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void nothing_is_made_before_the_first_change(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_dentry dentry;
	struct upper_node node;
	cleanup_buffer struct buffer out = BUFFER_INIT;
	upper_start(f);
	assert_false(upper_has_rows(f->upper));
	assert_false(upper_may_have(f->upper, ROOT));
	assert_null(upper_read(f->upper));
	assert_int_equal(upper_lookup(f->upper, ROOT, "a", &dentry, &node), -ENOENT);
	assert_int_equal(upper_find_node(NULL, ROOT, &node), -ENOENT);
	assert_int_equal(upper_find_xattr(NULL, ROOT, "user.a", &out), -ENODATA);
	assert_int_equal(upper_list_xattrs(NULL, ROOT, &out), 0);
	assert_rows(f->upper, ROOT, 0, "");
	assert_int_equal(upper_sync(f->upper), 0);
	upper_stop(f);
	assert_false(upper_holds(f, "index.db"));
	assert_false(upper_holds(f, "files"));
}

static int refuse(void *context)
{
	int *calls = context;
	return ++*calls == 1 ? -EROFS : 0;
}

static void the_first_change_asks_and_what_is_refused_leaves_nothing(void **state)
{
	struct upper_fixture *f = *state;
	int calls = 0;
	const struct upper_options options = {
		.path = f->path, .owner = "x", .on_first = refuse, .context = &calls
	};
	struct upper_reader *reader;
	assert_int_equal(upper_open(&options, &f->upper, NULL), 0);
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	assert_int_equal(upper_commit(f->upper, NULL), 0);
	upper_end(f->upper);
	assert_int_equal(calls, 0);
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	assert_int_equal(upper_begin_rows(f->upper), -EROFS);
	upper_end(f->upper);
	assert_false(upper_holds(f, "index.db"));
	assert_false(upper_has_rows(f->upper));
	assert_true(upper_add_file(f->upper, ROOT, "a") != 0);
	assert_true(upper_add_file(f->upper, ROOT, "b") != 0);
	assert_int_equal(calls, 2);
	assert_rows(f->upper, ROOT, 0, "a b ");
}

static void a_row_is_found_as_it_was_put(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_dentry dentry;
	struct upper_node node;
	upper_start(f);
	uint64_t id = upper_add_file(f->upper, ROOT, "a");
	struct upper_node expected = upper_row_of_file(id);
	assert_true(id & NODE_UPPER);
	assert_int_equal(upper_lookup(f->upper, ROOT, "a", &dentry, &node), 0);
	assert_int_equal(dentry.node, id);
	assert_true(dentry.cookie > COOKIE_UPPER && !dentry.pin && !dentry.has_base);
	assert_int_equal(node.mode, expected.mode);
	assert_int_equal(node.uid, 7);
	assert_int_equal(node.gid, 8);
	assert_int_equal(node.nlink, 1);
	assert_memory_equal(&node.atime, &expected.atime, sizeof(node.atime));
	assert_memory_equal(&node.mtime, &expected.mtime, sizeof(node.mtime));
	assert_memory_equal(&node.ctime, &expected.ctime, sizeof(node.ctime));
	assert_true(dentry.change > node.change && node.change > 0);
	assert_int_equal(upper_lookup(f->upper, ROOT, "b", &dentry, &node), -ENOENT);
	assert_int_equal(upper_lookup(f->upper, ROOT + 1, "a", &dentry, &node), -ENOENT);
}

static void put(struct upper *u, const struct upper_dentry *dentry)
{
	struct upper_reader *reader;
	assert_int_equal(upper_begin(u, true, &reader), 0);
	assert_int_equal(upper_put_dentry(u, dentry), 0);
	assert_int_equal(upper_commit(u, NULL), 0);
	upper_end(u);
}

static void a_listing_goes_by_cookie_and_a_name_keeps_its_own(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_dentry dentry;
	struct upper_node node;
	upper_start(f);
	uint64_t a = upper_add_file(f->upper, ROOT, "a");
	(void)upper_add_file(f->upper, ROOT, "b");
	struct upper_dentry covered = upper_row_of_name(ROOT, "z", 0, 12);
	covered.pin = covered.has_base = true;
	covered.base = digest_of("base", 4);
	put(f->upper, &covered);
	assert_rows(f->upper, ROOT, 0, "-z a b ");
	assert_rows(f->upper, ROOT, 12, "a b ");
	/* Another cookie for a name that has one is not taken. */
	struct upper_dentry again = upper_row_of_name(ROOT, "z", a, 99);
	put(f->upper, &again);
	assert_rows(f->upper, ROOT, 11, "z a b ");
	assert_rows(f->upper, ROOT, 12, "a b ");
	assert_int_equal(upper_lookup(f->upper, ROOT, "z", &dentry, &node), 0);
	assert_int_equal(dentry.cookie, 12);
	assert_false(dentry.pin || dentry.has_base);
}

static void base_and_pin_are_kept(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_dentry dentry;
	struct upper_node node;
	upper_start(f);
	struct upper_dentry pin = upper_row_of_name(ROOT, "z", 0, 12);
	pin.pin = pin.has_base = true;
	pin.base = digest_of("base", 4);
	put(f->upper, &pin);
	upper_stop(f);
	upper_start(f);
	assert_int_equal(upper_lookup(f->upper, ROOT, "z", &dentry, &node), 0);
	assert_true(dentry.pin && dentry.has_base);
	assert_memory_equal(&dentry.base, &pin.base, sizeof(pin.base));
	assert_int_equal(node.id, 0);
}

static void what_is_deleted_is_not_found(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	struct upper_dentry dentry;
	struct upper_node node;
	upper_start(f);
	uint64_t a = upper_add_file(f->upper, ROOT, "a");
	(void)upper_add_file(f->upper, ROOT, "b");
	assert_int_equal(upper_begin(f->upper, false, &reader), 0);
	assert_int_equal(upper_delete_dentry(f->upper, ROOT, "a", 1), 0);
	assert_int_equal(upper_put_xattr(f->upper, a, "user.x", "1", 1), 0);
	assert_int_equal(upper_delete_node(f->upper, a), 0);
	/* A change sees what it did. */
	assert_int_equal(upper_find_node(reader, a, &node), -ENOENT);
	assert_int_equal(upper_commit(f->upper, NULL), 0);
	upper_end(f->upper);
	assert_int_equal(upper_lookup(f->upper, ROOT, "a", &dentry, &node), -ENOENT);
	assert_rows(f->upper, ROOT, 0, "b ");
	upper_stop(f);
	assert_int_equal(upper_number(f, "SELECT count(*) FROM xattr"), 0);
}

static void what_was_not_committed_is_undone(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	upper_start(f);
	(void)upper_add_file(f->upper, ROOT, "a");
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	uint64_t lost = upper_new_node(f->upper);
	struct upper_node node = upper_row_of_file(lost);
	struct upper_dentry dentry =
	    upper_row_of_name(ROOT, "b", lost, upper_new_cookie(f->upper));
	assert_int_equal(upper_insert_node(f->upper, &node, NULL), 0);
	assert_int_equal(upper_put_dentry(f->upper, &dentry), 0);
	/* A listing inside a change sees what was committed before. */
	assert_rows(f->upper, ROOT, 0, "a ");
	upper_end(f->upper);
	assert_rows(f->upper, ROOT, 0, "a ");
	assert_int_equal(upper_lookup(f->upper, ROOT, "b", &dentry, &node), -ENOENT);
	assert_true(upper_add_file(f->upper, ROOT, "c") > lost);
}

static void every_row_is_visited(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	struct upper_node node = upper_row_of_file(5);
	upper_start(f);
	(void)upper_add_file(f->upper, 17, "a");
	(void)upper_add_file(f->upper, 18, "b");
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	node.mode = S_IFLNK | 0777;
	node.size = 6;
	assert_int_equal(upper_insert_node(f->upper, &node, "target"), 0);
	struct upper_dentry dentry = upper_row_of_name(18, "l", 5, 8);
	assert_int_equal(upper_put_dentry(f->upper, &dentry), 0);
	assert_int_equal(upper_commit(f->upper, NULL), 0);
	upper_end(f->upper);
	assert_rows(f->upper, 18, 0, "l b ");
	cleanup_buffer struct buffer target = BUFFER_INIT;
	reader = upper_read(f->upper);
	assert_int_equal(upper_read_target(reader, 5, &target), 0);
	assert_int_equal(upper_read_target(reader, 6, &target), -ENOENT);
	upper_read_end(f->upper, reader);
	assert_string_equal(buffer_cstr(&target), "target");
}

static void a_filter_never_says_no_of_what_has_rows(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	upper_start(f);
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	for (uint64_t id = 100; id < 1100; id += 2) {
		struct upper_node node = upper_row_of_file(id);
		struct upper_dentry dentry = upper_row_of_name(id + 1, "n", 0, id);
		assert_int_equal(upper_insert_node(f->upper, &node, NULL), 0);
		assert_int_equal(upper_put_dentry(f->upper, &dentry), 0);
	}
	assert_int_equal(upper_commit(f->upper, NULL), 0);
	upper_end(f->upper);
	for (int again = 0; again < 2; again++) {
		unsigned wrong = 0;
		for (uint64_t id = 100; id < 1100; id++) {
			assert_true(upper_may_have(f->upper, id));
			wrong += upper_may_have(f->upper, id << 32);
		}
		assert_true(wrong < 100);
		assert_true(upper_may_have(f->upper, NODE_UPPER | 1));
		upper_stop(f);
		upper_start(f);
	}
}

static void xattrs_are_put_replaced_listed_and_removed(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	cleanup_buffer struct buffer names = BUFFER_INIT;
	cleanup_buffer struct buffer value = BUFFER_INIT;
	upper_start(f);
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	assert_int_equal(upper_put_xattr(f->upper, 9, "user.b", "old", 3), 0);
	assert_int_equal(upper_put_xattr(f->upper, 9, "user.b", "\0new", 4), 0);
	assert_int_equal(upper_put_xattr(f->upper, 9, "user.a", NULL, 0), 0);
	assert_int_equal(upper_put_xattr(f->upper, 10, "user.c", "c", 1), 0);
	assert_int_equal(upper_delete_xattr(f->upper, 9, "user.c"), -ENODATA);
	assert_int_equal(upper_commit(f->upper, NULL), 0);
	upper_end(f->upper);
	reader = upper_read(f->upper);
	assert_int_equal(upper_list_xattrs(reader, 9, &names), 0);
	assert_int_equal(names.size, 14);
	assert_memory_equal(names.data, "user.a\0user.b", 14);
	assert_int_equal(upper_find_xattr(reader, 9, "user.a", &value), 0);
	assert_int_equal(value.size, 0);
	assert_int_equal(upper_find_xattr(reader, 9, "user.b", &value), 0);
	assert_int_equal(value.size, 4);
	assert_memory_equal(value.data, "\0new", 4);
	assert_int_equal(upper_find_xattr(reader, 9, "user.c", &value), -ENODATA);
	upper_read_end(f->upper, reader);
	assert_int_equal(upper_begin(f->upper, false, &reader), 0);
	assert_int_equal(upper_delete_xattr(f->upper, 9, "user.b"), 0);
	assert_int_equal(upper_find_xattr(reader, 9, "user.b", &value), -ENODATA);
	upper_end(f->upper);
}

static bool last_is(struct upper *u, uint64_t unique, struct upper_record *ret)
{
	return upper_last_record(u, ret) && ret->unique == unique;
}

static void the_last_record_is_found_by_its_number_and_ends_with_the_mount(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	const struct upper_record record = { .unique = 42, .result = -17, .node = 5 };
	struct upper_record found;
	upper_start(f);
	assert_false(last_is(f->upper, 42, &found));
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	assert_int_equal(upper_begin_rows(f->upper), 0);
	assert_int_equal(upper_commit(f->upper, &record), 0);
	upper_end(f->upper);
	/* A change of no request leaves it. */
	(void)upper_add_file(f->upper, ROOT, "a");
	assert_true(last_is(f->upper, 42, &found));
	assert_int_equal(found.result, -17);
	assert_int_equal(found.node, 5);
	assert_false(last_is(f->upper, 41, &found));
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	upper_end(f->upper);
	assert_true(last_is(f->upper, 42, &found));
	upper_stop(f);
	upper_start(f);
	assert_false(last_is(f->upper, 42, &found));
}

static void the_second_opener_is_told_whose_it_is(void **state)
{
	struct upper_fixture *f = *state;
	struct upper *second = NULL;
	struct error err = ERROR_INIT;
	const struct upper_options options = { .path = f->path, .owner = "/other" };
	upper_start(f);
	assert_int_equal(upper_open(&options, &second, &err), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(err.text, "'/mounted/here'"));
	assert_int_equal(upper_discard(f->path, &err), -EBUSY);
	assert_non_null(strstr(err.text, "'/mounted/here'"));
	upper_stop(f);
	assert_int_equal(upper_open(&options, &second, NULL), 0);
	upper_close(second);
}

static bool is_full;

/* In place of libc's. */
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	if (!is_full)
		return syscall(SYS_pwrite64, fd, bytes, size, offset);
	errno = ENOSPC;
	return -1;
}

static void a_full_disk_holds_no_opener_up(void **state)
{
	struct upper_fixture *f = *state;
	struct upper *upper = NULL;
	const struct upper_options other = { .path = f->path, .owner = "/other" };
	const struct timespec old[] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	struct stat st;
	cleanup_free char *lock = path_join(f->path, "lock");
	upper_start(f);
	upper_stop(f);
	/* What stands there is not written again. */
	assert_int_equal(utimensat(AT_FDCWD, lock, old, 0), 0);
	upper_start(f);
	upper_stop(f);
	assert_int_equal(stat(lock, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1);
	is_full = true;
	int r = upper_open(&other, &upper, NULL);
	is_full = false;
	assert_int_equal(r, 0);
	upper_close(upper);
}

/* systemd-tmpfiles spares what is sticky, and what lies in a directory that is locked. */
static void who_cleans_up_old_files_leaves_an_upper_alone(void **state)
{
	static const char *const files[] = { "lock", "index.db", "index.db-wal",
					     "reserve", "base" };
	struct upper_fixture *f = *state;
	struct stat st;
	upper_start(f);
	(void)upper_add_file(f->upper, ROOT, "a");
	assert_int_equal(upper_base_announce(f->upper), 0);
	assert_int_equal(upper_base_stage(f->upper, "text", 4), 0);
	assert_int_equal(upper_base_settle(f->upper), 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		assert_int_equal(fstatat(upper_fd(f->upper), files[i], &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 01600);
	}
	cleanup_fd int fd = file_open(AT_FDCWD, f->path, O_RDONLY | O_DIRECTORY, 0);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	upper_stop(f);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
}

static void discarding_leaves_nothing_of_what_was_changed(void **state)
{
	struct upper_fixture *f = *state;
	cleanup_free char *missing = path_join(f->path, "missing");
	upper_start(f);
	uint64_t id = upper_add_file(f->upper, ROOT, "a");
	upper_write(f->upper, id, "content");
	upper_stop(f);
	assert_int_equal(upper_discard(f->path, NULL), 0);
	assert_false(upper_holds(f, "index.db"));
	assert_false(upper_holds(f, "files"));
	assert_false(upper_holds(f, "staging"));
	assert_int_equal(upper_discard(f->path, NULL), 0);
	assert_int_equal(upper_discard(missing, NULL), 0);
	upper_start(f);
	assert_false(upper_has_rows(f->upper));
}

static void a_directory_that_others_could_replace_is_refused(void **state)
{
	struct upper_fixture *f = *state;
	struct error err = ERROR_INIT;
	cleanup_free char *below = path_join(f->path, "below");
	const struct upper_options options = { .path = below, .owner = "x" };
	assert_int_equal(chmod(f->path, 0777), 0);
	assert_int_equal(upper_open(&options, &f->upper, &err), -EACCES);
	assert_non_null(strstr(err.text, f->path));
	assert_non_null(strstr(err.text, "chmod go-w"));
	/* Of a sticky one others can replace nothing of ours. */
	assert_int_equal(chmod(f->path, 01777), 0);
	assert_int_equal(upper_open(&options, &f->upper, &err), 0);
}

static void a_directory_that_others_can_change_is_refused(void **state)
{
	struct upper_fixture *f = *state;
	struct error err = ERROR_INIT;
	assert_int_equal(chmod(f->path, 0770), 0);
	assert_int_equal(upper_try(f, &err), -EACCES);
	assert_non_null(strstr(err.text, f->path));
	assert_int_equal(upper_discard(f->path, NULL), -EACCES);
	assert_int_equal(chmod(f->path, 0755), 0);
	upper_start(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UPPER_TEST(nothing_is_made_before_the_first_change),
		UPPER_TEST(the_first_change_asks_and_what_is_refused_leaves_nothing),
		UPPER_TEST(a_row_is_found_as_it_was_put),
		UPPER_TEST(a_listing_goes_by_cookie_and_a_name_keeps_its_own),
		UPPER_TEST(base_and_pin_are_kept),
		UPPER_TEST(what_is_deleted_is_not_found),
		UPPER_TEST(what_was_not_committed_is_undone),
		UPPER_TEST(every_row_is_visited),
		UPPER_TEST(a_filter_never_says_no_of_what_has_rows),
		UPPER_TEST(xattrs_are_put_replaced_listed_and_removed),
		UPPER_TEST(
		    the_last_record_is_found_by_its_number_and_ends_with_the_mount),
		UPPER_TEST(the_second_opener_is_told_whose_it_is),
		UPPER_TEST(a_full_disk_holds_no_opener_up),
		UPPER_TEST(who_cleans_up_old_files_leaves_an_upper_alone),
		UPPER_TEST(discarding_leaves_nothing_of_what_was_changed),
		UPPER_TEST(a_directory_that_others_could_replace_is_refused),
		UPPER_TEST(a_directory_that_others_can_change_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
