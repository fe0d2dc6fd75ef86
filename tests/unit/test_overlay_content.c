/* Content and attributes of the overlay: copy-up, what makes it fail, set-id bits. */
#include "tests/unit/overlay_fixture.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { WRITERS = 4, PIECE = 1000 };

static int set(struct overlay_fixture *f, const char *path, unsigned flags,
	       const struct stat *want)
{
	struct stat st;
	return overlay_set(f->overlay, &f->caller, node_of(f, path), flags, want, &st);
}

static int set_size(struct overlay_fixture *f, const char *path, off_t size)
{
	const struct stat want = { .st_size = size };
	return set(f, path, SET_SIZE, &want);
}

static int set_mode(struct overlay_fixture *f, const char *path, mode_t mode)
{
	const struct stat want = { .st_mode = mode };
	return set(f, path, SET_MODE, &want);
}

static void copy_up_keeps_what_a_file_is(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat before = see(f, "file");
	assert_int_equal(put_text(f, before.st_ino, 0, ""), 0);
	assert_int_equal(count_content(f, "files"), 1);
	assert_int_equal(count_content(f, "staging"), 0);
	for (int i = 0; i < 2; i++) {
		struct stat after = see(f, "file");
		assert_int_equal(after.st_ino, before.st_ino);
		assert_int_equal(after.st_mode, before.st_mode);
		assert_int_equal(after.st_uid, before.st_uid);
		assert_int_equal(after.st_gid, before.st_gid);
		assert_int_equal(after.st_size, before.st_size);
		assert_int_equal(after.st_mtim.tv_sec, 1000);
		assert_int_equal(after.st_mtim.tv_nsec, 500000000);
		assert_xattr(f, "file", "user.k", "v");
		assert_text(f, after.st_ino, "0123456789");
		restart(f);
	}
	assert_int_equal(put_text(f, before.st_ino, 8, "abc"), 3);
	assert_text(f, before.st_ino, "01234567abc");
	assert_true(see(f, "file").st_mtim.tv_sec > 1000);
	assert_content(f->lower, "file", "0123456789");
}

static void attributes_alone_copy_nothing(void **state)
{
	struct overlay_fixture *f = *state;
	const struct stat want = { .st_uid = 3,
				   .st_gid = 4,
				   .st_atim = { -5, 6 },
				   .st_mtim = { 7, 999999999 } };
	struct stat before = see(f, "big");
	assert_int_equal(set_mode(f, "big", 0400), 0);
	assert_int_equal(set(f, "big", SET_UID | SET_GID | SET_ATIME | SET_MTIME, &want),
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
		assert_int_equal(set(f, paths[i], SET_ATIME | SET_MTIME, &want), 0);
		struct stat st = see(f, paths[i]);
		assert_memory_equal(&st.st_atim, &want.st_atim, sizeof(st.st_atim));
		assert_memory_equal(&st.st_mtim, &want.st_mtim, sizeof(st.st_mtim));
		assert_int_equal(set(f, paths[i], SET_MTIME_NOW, &want), 0);
		st = see(f, paths[i]);
		assert_memory_equal(&st.st_atim, &want.st_atim, sizeof(st.st_atim));
		assert_true(st.st_mtim.tv_sec > 1000000000);
	}
}

static void truncating_copies_only_what_is_kept(void **state)
{
	struct overlay_fixture *f = *state;
	uint64_t node = node_of(f, "file");
	assert_int_equal(set_size(f, "file", -1), -EINVAL);
	assert_int_equal(set_size(f, "d", 1), -EISDIR);
	assert_int_equal(set_size(f, "fifo", 1), -EINVAL);
	assert_int_equal(count_content(f, "files"), 0);
	assert_int_equal(set_size(f, "file", 4), 0);
	assert_text(f, node, "0123");
	assert_int_equal(see(f, "file").st_size, 4);
	/* What was cut reads as zeros afterwards. */
	assert_int_equal(set_size(f, "file", 6), 0);
	assert_int_equal(put_text(f, node, 6, "!"), 1);
	char bytes[8];
	struct image_bytes found;
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(sizeof(bytes)));
	assert_int_equal(
	    overlay_read(f->overlay, node, 0, sizeof(bytes), scratch, &found), 0);
	assert_int_equal(found.size, 7);
	assert_memory_equal(found.data, "0123\0\0!", 7);
	assert_int_equal(set_size(f, "big", 0), 0);
	assert_int_equal(see(f, "big").st_size, 0);
	assert_text(f, node_of(f, "big"), "");
}

static void a_large_file_is_copied_whole_and_has_holes(void **state)
{
	struct overlay_fixture *f = *state;
	uint64_t at;
	uint64_t node = node_of(f, "big");
	assert_int_equal(overlay_seek(f->overlay, node, 5, SEEK_DATA, &at), 0);
	assert_int_equal(at, 5);
	assert_int_equal(overlay_seek(f->overlay, node, 5, SEEK_HOLE, &at), 0);
	assert_int_equal(at, BIG);
	assert_int_equal(overlay_seek(f->overlay, node, BIG, SEEK_DATA, &at), -ENXIO);
	assert_int_equal(overlay_allocate(f->overlay, &f->caller, node,
					  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  IMAGE_BLOCK, IMAGE_BLOCK),
			 0);
	assert_int_equal(see(f, "big").st_size, BIG);
	assert_int_equal(overlay_seek(f->overlay, node, 0, SEEK_HOLE, &at), 0);
	assert_int_equal(at, IMAGE_BLOCK);
	assert_int_equal(overlay_seek(f->overlay, node, at, SEEK_DATA, &at), 0);
	assert_int_equal(at, 2 * IMAGE_BLOCK);
	cleanup_free char *scratch = malloc(IMAGE_SCRATCH(BIG));
	struct image_bytes found;
	assert_int_equal(overlay_read(f->overlay, node, 0, BIG, scratch, &found), 0);
	assert_int_equal(found.size, BIG);
	const char *bytes = found.data;
	for (int i = 0; i < BIG; i++)
		assert_int_equal(bytes[i],
				 i / IMAGE_BLOCK == 1 ? 0 : '0' + i / IMAGE_BLOCK);
}

static ssize_t copy(struct overlay_fixture *f, const char *from, uint64_t from_offset,
		    const char *to, uint64_t to_offset)
{
	const struct overlay_copy q = { .from = node_of(f, from),
					.from_offset = from_offset,
					.to = node_of(f, to),
					.to_offset = to_offset,
					.size = 6 };
	return overlay_copy(f->overlay, &f->caller, &q);
}

static void copying_takes_what_is_there_from_either_side(void **state)
{
	struct overlay_fixture *f = *state;
	uint64_t mine = make_text(f, "mine", "abcdefgh");
	assert_int_equal(make(f, "none", S_IFREG | 0644, NULL), 0);
	assert_int_equal(copy(f, "file", 8, "mine", 1), 2);
	assert_text(f, mine, "a89defgh");
	assert_int_equal(copy(f, "file", 10, "mine", 0), 0);
	assert_int_equal(copy(f, "none", 0, "mine", 0), 0);
	assert_int_equal(copy(f, "mine", 0, "d/one", 2), 6);
	assert_text(f, node_of(f, "d/one"), "ona89def");
	assert_int_equal(copy(f, "mine", 0, "none", 0), 6);
	assert_text(f, node_of(f, "none"), "a89def");
	/* Of a lower file onto itself. */
	assert_int_equal(copy(f, "file", 0, "file", 8), 6);
	assert_text(f, node_of(f, "file"), "01234567012345");
	assert_int_equal(copy(f, "d", 0, "mine", 0), -EISDIR);
	assert_int_equal(copy(f, "mine", 0, "fifo", 0), -EINVAL);
	assert_content(f->lower, "file", "0123456789");
}

static void assert_nothing_left(struct overlay_fixture *f, const char *path)
{
	struct upper_dentry d;
	struct upper_node n;
	assert_int_equal(count_content(f, "files"), 0);
	assert_int_equal(count_content(f, "staging"), 0);
	assert_false(find_row(f, path, &d, &n));
}

static void what_is_damaged_below_is_not_copied(void **state)
{
	struct overlay_fixture *f = *state;
	enum { MOST = 100 };
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(MOST));
	struct image_bytes found;
	uint64_t node = node_of(f, "big");
	damage_lower(f, "1111");
	assert_int_equal(put_text(f, node, 0, "x"), -EBADMSG);
	assert_int_equal(overlay_allocate(f->overlay, &f->caller, node, 0, 0, 1),
			 -EBADMSG);
	assert_nothing_left(f, "big");
	assert_int_equal(
	    overlay_read(f->overlay, node, IMAGE_BLOCK, MOST, scratch, &found), -EBADMSG);
	assert_int_equal(copy(f, "big", IMAGE_BLOCK, "d/one", 0), -EBADMSG);
	assert_text(f, node_of(f, "d/one"), "one");
	/* Of what is kept nothing is damaged. */
	assert_int_equal(set_size(f, "big", 50), 0);
	assert_int_equal(see(f, "big").st_size, 50);
	assert_int_equal(put_text(f, node, 0, "x"), 1);
}

/* No file of this process may grow beyond `size`, as on a full disk. */
static void limit_files(rlim_t size)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
}

static void a_copy_that_does_not_fit_leaves_nothing(void **state)
{
	struct overlay_fixture *f = *state;
	uint64_t node = node_of(f, "big");
	assert_int_equal(set_mode(f, "d", 0700), 0);
	limit_files(BIG / 2);
	ssize_t n = put_text(f, node, 0, "x");
	limit_files(RLIM_INFINITY);
	assert_int_equal(n, -EFBIG);
	assert_nothing_left(f, "big");
	assert_int_equal(see(f, "big").st_size, BIG);
	assert_int_equal(put_text(f, node, BIG, "x"), 1);
	assert_int_equal(see(f, "big").st_size, BIG + 1);
}

static off_t wal_size(struct overlay_fixture *f)
{
	struct stat st;
	cleanup_free char *path = path_join(f->path, "index.db-wal");
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void a_copy_whose_row_does_not_fit_leaves_nothing(void **state)
{
	struct overlay_fixture *f = *state;
	uint64_t node = node_of(f, "file");
	assert_int_equal(set_mode(f, "d", 0700), 0);
	limit_files((rlim_t)wal_size(f));
	ssize_t n = put_text(f, node, 0, "x");
	limit_files(RLIM_INFINITY);
	assert_true(n < 0);
	assert_nothing_left(f, "file");
	assert_text(f, node, "0123456789");
	assert_int_equal(put_text(f, node, 0, "x"), 1);
	assert_text(f, node, "x123456789");
}

static void a_name_whose_row_does_not_fit_is_not_there(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat st;
	assert_int_equal(set_mode(f, "d", 0700), 0);
	struct stat before = see(f, "d");
	limit_files((rlim_t)wal_size(f));
	int made = make(f, "d/new", S_IFREG | 0644, NULL);
	int dropped = drop(f, "d/one", false);
	int moved = move(f, "d", "moved", 0);
	limit_files(RLIM_INFINITY);
	assert_true(made < 0 && dropped < 0 && moved < 0);
	assert_names(f, "d", "h2 one sub two ");
	assert_int_equal(look(f, "d/new", &st), -ENOENT);
	st = see(f, "d");
	assert_memory_equal(&st.st_mtim, &before.st_mtim, sizeof(st.st_mtim));
	assert_int_equal(drop(f, "d/one", false), 0);
	assert_names(f, "d", "h2 sub two ");
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
		int r = i == 0   ? put_text(f, node, 0, "x") == 1
			: i == 1 ? set_size(f, "file", 8) == 0
			: i == 2 ? overlay_allocate(f->overlay, &f->caller, node, 0, 0,
						    20) == 0
			: i == 3 ? overlay_copy(f->overlay, &f->caller, &q) == 1
			: i == 4 ? set(f, "file", SET_UID | SET_GID, &none) == 0
				 : set(f, "file", SET_TOUCH, &none) == 0;
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
	assert_int_equal(set(f, "file", SET_UID, &none), 0);
	assert_int_equal(see(f, "file").st_mode, S_IFREG | 02644);
	assert_int_equal(set_mode(f, "d", 06775), 0);
	assert_int_equal(set(f, "d", SET_UID, &none), 0);
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

struct writer {
	struct overlay_fixture *f;
	uint64_t node;
	int number, result;
};

/* Every fourth piece of the file, from its own on. */
static void *write_pieces(void *argument)
{
	struct writer *w = argument;
	char piece[PIECE];
	memset(piece, 'a' + w->number, sizeof(piece));
	for (int at = w->number * PIECE; w->result == 0 && at < BIG;
	     at += WRITERS * PIECE) {
		ssize_t n = overlay_write(w->f->overlay, &w->f->caller, w->node,
					  (uint64_t)at, piece, sizeof(piece));
		w->result = n == PIECE ? 0 : -1;
	}
	return NULL;
}

static void threads_that_write_to_one_lower_file_copy_it_once(void **state)
{
	struct overlay_fixture *f = *state;
	pthread_t threads[WRITERS];
	struct writer writers[WRITERS];
	cleanup_free char *scratch = malloc(IMAGE_SCRATCH(BIG));
	struct image_bytes found;
	uint64_t node = node_of(f, "big");
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .f = f, .node = node, .number = i };
		assert_int_equal(
		    pthread_create(&threads[i], NULL, write_pieces, &writers[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(writers[i].result, 0);
	}
	assert_int_equal(overlay_read(f->overlay, node, 0, BIG, scratch, &found), 0);
	const char *bytes = found.data;
	for (int i = 0; i < BIG; i++)
		assert_int_equal(bytes[i], 'a' + i / PIECE % WRITERS);
	assert_int_equal(count_content(f, "files"), 1);
}

static void the_room_is_that_of_the_disk_below(void **state)
{
	struct overlay_fixture *f = *state;
	struct statvfs ours;
	struct statvfs theirs;
	assert_int_equal(overlay_statfs(f->overlay, &ours), 0);
	assert_int_equal(statvfs(f->path, &theirs), 0);
	assert_int_equal(ours.f_blocks, theirs.f_blocks);
	assert_int_equal(ours.f_namemax, 255);
	assert_int_equal(overlay_sync(f->overlay, node_of(f, "file"), false), 0);
	uint64_t mine = make_text(f, "mine", "text");
	assert_int_equal(overlay_sync(f->overlay, mine, false), 0);
	assert_int_equal(overlay_sync(f->overlay, TREE_ROOT, false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVERLAY_TEST(copy_up_keeps_what_a_file_is),
		OVERLAY_TEST(attributes_alone_copy_nothing),
		OVERLAY_TEST(times_of_content_are_set_to_the_nanosecond),
		OVERLAY_TEST(truncating_copies_only_what_is_kept),
		OVERLAY_TEST(a_large_file_is_copied_whole_and_has_holes),
		OVERLAY_TEST(copying_takes_what_is_there_from_either_side),
		OVERLAY_TEST(what_is_damaged_below_is_not_copied),
		OVERLAY_TEST(a_copy_that_does_not_fit_leaves_nothing),
		OVERLAY_TEST(a_copy_whose_row_does_not_fit_leaves_nothing),
		OVERLAY_TEST(a_name_whose_row_does_not_fit_is_not_there),
		OVERLAY_TEST(set_id_bits_go_when_another_writes),
		OVERLAY_TEST(a_set_gid_bit_without_execution_means_locking),
		OVERLAY_TEST(xattrs_of_the_lower_stay_when_one_is_changed),
		OVERLAY_TEST(xattr_flags_and_equal_values_are_as_on_a_disk),
		OVERLAY_TEST(threads_that_write_to_one_lower_file_copy_it_once),
		OVERLAY_TEST(the_room_is_that_of_the_disk_below),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
