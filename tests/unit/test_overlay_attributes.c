/* Attributes of the overlay: modes, owners, times, set-id bits, xattrs. */
#include "tests/unit/overlay_fixture.h"

#include <errno.h>
#include <sys/xattr.h>

static void attributes_alone_copy_nothing(void **state)
{
	struct overlay_fixture *f = *state;
	const struct stat want = { .st_uid = 3,
				   .st_gid = 4,
				   .st_atim = { -5, 6 },
				   .st_mtim = { 7, 999999999 } };
	struct stat before = see(f, "big");
	assert_int_equal(set_mode(f, "big", 0400), 0);
	assert_int_equal(
	    set_attributes(f, "big", SET_UID | SET_GID | SET_ATIME | SET_MTIME, &want),
	    0);
	restart(f);
	struct stat after = see(f, "big");
	assert_int_equal(count_content(f, "files"), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode, S_IFREG | 0400);
	assert_int_equal(after.st_uid, 3);
	assert_int_equal(after.st_gid, 4);
	assert_memory_equal(&after.st_atim, &want.st_atim, sizeof(after.st_atim));
	assert_memory_equal(&after.st_mtim, &want.st_mtim, sizeof(after.st_mtim));
	assert_true(after.st_ctim.tv_sec > before.st_ctim.tv_sec);
	assert_int_equal(after.st_size, BIG);
	/* And stay over the copy-up that comes later. */
	assert_int_equal(put_text(f, after.st_ino, 0, ""), 0);
	after = see(f, "big");
	assert_int_equal(after.st_mode, S_IFREG | 0400);
	assert_memory_equal(&after.st_atim, &want.st_atim, sizeof(after.st_atim));
	assert_memory_equal(&after.st_mtim, &want.st_mtim, sizeof(after.st_mtim));
}

static void times_of_content_are_set_to_the_nanosecond(void **state)
{
	struct overlay_fixture *f = *state;
	const struct stat want = { .st_atim = { 5, 6 }, .st_mtim = { 7, 8 } };
	static const char *const paths[] = { "d/new", "d/empty", "d/one", "d" };
	(void)make_text(f, "d/new", "text");
	assert_int_equal(make(f, "d/empty", S_IFREG | 0644, NULL), 0);
	assert_int_equal(put_text(f, node_of(f, "d/one"), 0, "O"), 1);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		assert_int_equal(
		    set_attributes(f, paths[i], SET_ATIME | SET_MTIME, &want), 0);
		struct stat st = see(f, paths[i]);
		assert_memory_equal(&st.st_atim, &want.st_atim, sizeof(st.st_atim));
		assert_memory_equal(&st.st_mtim, &want.st_mtim, sizeof(st.st_mtim));
		assert_int_equal(set_attributes(f, paths[i], SET_MTIME_NOW, &want), 0);
		st = see(f, paths[i]);
		assert_memory_equal(&st.st_atim, &want.st_atim, sizeof(st.st_atim));
		assert_true(st.st_mtim.tv_sec > 1000000000);
	}
}

static bool is_after(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static uint64_t change_of(struct overlay_fixture *f, const char *path)
{
	struct upper_dentry dentry;
	struct upper_node node;
	assert_true(find_row(f, path, &dentry, &node));
	return node.change;
}

static void what_is_set_again_changes_the_ctime(void **state)
{
	struct overlay_fixture *f = *state;
	static const char *const paths[] = { "d/new", "d/empty", "d/one", "d/two" };
	(void)make_text(f, "d/new", "text");
	assert_int_equal(make(f, "d/empty", S_IFREG | 0644, NULL), 0);
	assert_int_equal(put_text(f, node_of(f, "d/one"), 0, "O"), 1);
	assert_int_equal(set_mode(f, "d/two", 0644), 0);
	for (int i = 0; i < 400; i++) {
		const char *path = paths[i % 4];
		const struct stat before = see(f, path);
		unsigned flags = i % 3 ? SET_UID | SET_GID : SET_MODE;
		assert_int_equal(set_attributes(f, path, flags, &before), 0);
		const struct stat after = see(f, path);
		assert_true(is_after(&after.st_ctim, &before.st_ctim));
		assert_int_equal(after.st_mode, before.st_mode);
		assert_memory_equal(&after.st_mtim, &before.st_mtim,
				    sizeof(after.st_mtim));
		assert_int_equal(see(f, path).st_ctim.tv_nsec, after.st_ctim.tv_nsec);
	}
	restart(f);
	assert_int_equal(see(f, "d/new").st_mode, S_IFREG | 0644);
}

static void a_set_id_bit_goes_though_the_owner_stays(void **state)
{
	struct overlay_fixture *f = *state;
	(void)make_text(f, "d/new", "text");
	assert_int_equal(set_mode(f, "d/new", 06755), 0);
	uint64_t change = change_of(f, "d/new");
	const struct stat same = see(f, "d/new");
	assert_int_equal(set_attributes(f, "d/new", SET_UID, &same), 0);
	assert_int_equal(see(f, "d/new").st_mode, S_IFREG | 0755);
	assert_true(change_of(f, "d/new") > change);
}

static void set_id_bits_go_when_another_writes(void **state)
{
	struct overlay_fixture *f = *state;
	struct overlay_copy q = { .size = 1 };
	static const struct stat none;
	f->caller.kill_privileges = true;
	for (int i = 0; i < 6; i++) {
		uint64_t node = node_of(f, "file");
		assert_int_equal(set_mode(f, "file", 06775), 0);
		q.to = node;
		q.from = node_of(f, "d/one");
		int r =
		    i == 0   ? put_text(f, node, 0, "x") == 1
		    : i == 1 ? set_size(f, "file", 8) == 0
		    : i == 2
			? overlay_allocate(f->overlay, &f->caller, node, 0, 0, 20) == 0
		    : i == 3 ? overlay_copy(f->overlay, &f->caller, &q) == 1
		    : i == 4 ? set_attributes(f, "file", SET_UID | SET_GID, &none) == 0
			     : set_attributes(f, "file", SET_TOUCH, &none) == 0;
		assert_true(r);
		assert_int_equal(see(f, "file").st_mode, S_IFREG | 0775);
		f->caller.uid = i >= 3 ? 0 : 100;
	}
	f->caller = (struct caller){ .uid = 0 };
	assert_int_equal(set_mode(f, "file", 06775), 0);
	assert_int_equal(put_text(f, node_of(f, "file"), 0, "x"), 1);
	assert_int_equal(see(f, "file").st_mode, S_IFREG | 06775);
}

static void a_set_gid_bit_without_execution_means_locking(void **state)
{
	struct overlay_fixture *f = *state;
	static const struct stat none;
	f->caller = (struct caller){ .uid = 0, .kill_privileges = true };
	assert_int_equal(set_mode(f, "file", 02644), 0);
	assert_int_equal(put_text(f, node_of(f, "file"), 0, "x"), 1);
	assert_int_equal(set_attributes(f, "file", SET_UID, &none), 0);
	assert_int_equal(see(f, "file").st_mode, S_IFREG | 02644);
	assert_int_equal(set_mode(f, "d", 06775), 0);
	assert_int_equal(set_attributes(f, "d", SET_UID, &none), 0);
	assert_int_equal(see(f, "d").st_mode, S_IFDIR | 06775);
}

static void xattrs_of_the_lower_stay_when_one_is_changed(void **state)
{
	struct overlay_fixture *f = *state;
	cleanup_buffer struct buffer names = BUFFER_INIT;
	assert_int_equal(set_xattr(f, "file", "user.more", "m"), 0);
	assert_xattr(f, "file", "user.k", "v");
	assert_xattr(f, "file", "user.more", "m");
	assert_int_equal(set_xattr(f, "file", "user.k", NULL), 0);
	assert_int_equal(set_xattr(f, "file", "user.k", NULL), -ENODATA);
	assert_int_equal(set_xattr(f, "file", "system.posix_acl_access", "x"),
			 -EOPNOTSUPP);
	restart(f);
	assert_xattr(f, "file", "user.k", NULL);
	assert_int_equal(overlay_list_xattrs(f->overlay, node_of(f, "file"), &names), 0);
	assert_int_equal(names.size, sizeof("user.more"));
	assert_string_equal((char *)names.data, "user.more");
	assert_int_equal(put_text(f, node_of(f, "file"), 0, "x"), 1);
	assert_xattr(f, "file", "user.more", "m");
	/* The last one gone, those of the image do not come back. */
	assert_int_equal(set_xattr(f, "file", "user.more", NULL), 0);
	assert_xattr(f, "file", "user.k", NULL);
}

static void xattr_flags_and_equal_values_are_as_on_a_disk(void **state)
{
	struct overlay_fixture *f = *state;
	struct overlay_xattr x = { .name = "user.k", .value = "w", .size = 1 };
	uint64_t node = node_of(f, "file");
	x.flags = XATTR_CREATE;
	assert_int_equal(overlay_set_xattr(f->overlay, &f->caller, node, &x), -EEXIST);
	x.name = "user.new";
	x.flags = XATTR_REPLACE;
	assert_int_equal(overlay_set_xattr(f->overlay, &f->caller, node, &x), -ENODATA);
	struct stat before = see(f, "file");
	assert_int_equal(set_xattr(f, "file", "user.k", "v"), 0);
	struct stat after = see(f, "file");
	assert_memory_equal(&after.st_ctim, &before.st_ctim, sizeof(after.st_ctim));
	x = (struct overlay_xattr){ .name = "user.k", .value = "", .size = 0 };
	x.flags = XATTR_REPLACE;
	assert_int_equal(overlay_set_xattr(f->overlay, &f->caller, node, &x), 0);
	overlay_release(f->overlay);
	assert_xattr(f, "file", "user.k", "");
	after = see(f, "file");
	assert_true(after.st_ctim.tv_sec > before.st_ctim.tv_sec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVERLAY_TEST(attributes_alone_copy_nothing),
		OVERLAY_TEST(times_of_content_are_set_to_the_nanosecond),
		OVERLAY_TEST(what_is_set_again_changes_the_ctime),
		OVERLAY_TEST(a_set_id_bit_goes_though_the_owner_stays),
		OVERLAY_TEST(set_id_bits_go_when_another_writes),
		OVERLAY_TEST(a_set_gid_bit_without_execution_means_locking),
		OVERLAY_TEST(xattrs_of_the_lower_stay_when_one_is_changed),
		OVERLAY_TEST(xattr_flags_and_equal_values_are_as_on_a_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
