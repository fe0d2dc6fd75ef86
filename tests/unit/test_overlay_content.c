/* Content of the overlay: copy-up, what makes it fail, what was lost. */
#include "tests/unit/overlay_fixture.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITERS = 4, PIECE = 1000 };

/* In place of libc's: the one that is named fails, and no other. */
static const char *failing;
static int failing_with;

static bool fails(const char *what)
{
	if (!failing || strcmp(failing, what) != 0)
		return false;
	errno = failing_with;
	return true;
}

int fsync(int fd)
{
	return fails("fsync") ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return fails("fdatasync") ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return fails("renameat")
		   ? -1
		   : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

static bool is_wal(int fd)
{
	char path[64];
	char target[256];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t size = readlink(path, target, sizeof(target) - 1);
	target[size < 0 ? 0 : size] = '\0';
	return strstr(target, "index.db-wal") != NULL;
}

/* SQLite's, too. */
__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void *bytes,
						      size_t size, off_t at)
{
	if (failing && fails(is_wal(fd) ? "commit" : "pwrite"))
		return -1;
	return syscall(SYS_pwrite64, fd, bytes, size, at);
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

static void count_blocking(void *context, bool begins)
{
	int *counts = context;
	counts[begins]++;
}

static void a_long_copy_is_told_of_and_done_in_parts(void **state)
{
	struct overlay_fixture *f = *state;
	enum { LARGE = 100 << 20, PART = 32 << 20 };
	int counts[] = { 0, 0 };
	const struct overlay_options over = { .tree = f->lower->tree,
					      .upper = f->upper,
					      .on_blocking = count_blocking,
					      .context = counts };
	overlay_free(f->overlay);
	assert_int_equal(overlay_new(&over, &f->overlay), 0);
	struct overlay_copy q = { .from = make_text(f, "from", "text"),
				  .to = make_text(f, "to", ""),
				  .size = LARGE };
	assert_int_equal(overlay_copy(f->overlay, &f->caller, &q), 4);
	assert_int_equal(counts[true], 0);
	assert_int_equal(set_size(f, "from", LARGE), 0);
	assert_int_equal(overlay_copy(f->overlay, &f->caller, &q), PART);
	assert_int_equal(counts[true], 1);
	assert_int_equal(counts[false], 1);
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

static void a_copy_that_fails_anywhere_leaves_nothing_and_says_why(void **state)
{
	static const char *const calls[] = { "pwrite", "fdatasync", "renameat", "fsync",
					     "commit" };
	static const int codes[] = { EIO, ENOSPC, EDQUOT };
	struct overlay_fixture *f = *state;
	uint64_t node = node_of(f, "big");
	assert_int_equal(set_mode(f, "d", 0700), 0);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		for (size_t k = 0; k < sizeof(codes) / sizeof(*codes); k++) {
			failing = calls[i];
			failing_with = codes[k];
			ssize_t n = put_text(f, node, 0, "x");
			failing = NULL;
			assert_int_equal(n, -codes[k]);
			assert_nothing_left(f, "big");
		}
	}
	assert_int_equal(put_text(f, node, BIG, "x"), 1);
	assert_int_equal(see(f, "big").st_size, BIG + 1);
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

/* As a power cut may do. */
static void lose_content(struct overlay_fixture *f, uint64_t node)
{
	char below[64];
	(void)snprintf(below, sizeof(below), "files/%02x/%014llx",
		       (unsigned)(node >> 8 & 0xff), (unsigned long long)node);
	cleanup_free char *path = path_join(f->path, below);
	stop(f);
	assert_int_equal(unlink(path), 0);
	start(f);
}

static void an_empty_file_that_was_lost_is_empty_and_another_is_an_error(void **state)
{
	struct overlay_fixture *f = *state;
	enum { MOST = 100 };
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(MOST));
	struct image_bytes found;
	uint64_t cut = node_of(f, "file");
	uint64_t full = node_of(f, "big");
	assert_int_equal(set_size(f, "file", 0), 0);
	assert_int_equal(put_text(f, full, 0, "x"), 1);
	lose_content(f, cut);
	lose_content(f, full);
	assert_int_equal(see(f, "file").st_size, 0);
	assert_text(f, cut, "");
	assert_int_equal(put_text(f, cut, 0, "new"), 3);
	assert_text(f, cut, "new");
	assert_int_equal(overlay_read(f->overlay, full, 0, MOST, scratch, &found), -EIO);
	assert_int_equal(put_text(f, full, 0, "x"), -EIO);
	assert_int_equal(drop(f, "big", false), 0);
	assert_names(f, "", "d empty fifo file h1 link ");
}

static void content_that_somebody_removed_is_an_error(void **state)
{
	struct overlay_fixture *f = *state;
	enum { MOST = 100 };
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(MOST));
	struct image_bytes found;
	uint64_t node = make_text(f, "made", "text");
	lose_content(f, node);
	/* Where it is empty nobody reads. */
	assert_int_not_equal(see(f, "made").st_size, 0);
	assert_int_equal(overlay_read(f->overlay, node, 0, MOST, scratch, &found),
			 -EBADMSG);
	assert_int_equal(put_text(f, node, 0, "x"), -EBADMSG);
	assert_int_equal(set_size(f, "made", 0), -EBADMSG);
	assert_int_equal(drop(f, "made", false), 0);
	assert_int_equal(make(f, "empty file", S_IFREG | 0644, NULL), 0);
	restart(f);
	assert_text(f, node_of(f, "empty file"), "");
}

static uint32_t flags_of(struct overlay_fixture *f, const char *path)
{
	struct upper_dentry row;
	struct upper_node node;
	assert_true(find_row(f, path, &row, &node));
	return node.flags;
}

/* Made by an earlier program, or its server was killed. */
static void what_is_seen_to_have_content_is_noted(void **state)
{
	struct overlay_fixture *f = *state;
	struct upper_reader *reader;
	uint64_t node = make_text(f, "made", "text");
	assert_int_equal(make(f, "other", S_IFREG | 0644, NULL), 0);
	assert_int_equal(flags_of(f, "made"), NODE_CONTENT);
	assert_int_equal(upper_begin(f->upper, false, &reader), 0);
	struct upper_node row;
	assert_int_equal(upper_find_node(reader, node, &row), 0);
	row.flags = 0;
	assert_int_equal(upper_update_node(f->upper, &row), 0);
	assert_int_equal(upper_commit(f->upper, NULL), 0);
	upper_end(f->upper);
	assert_int_equal(flags_of(f, "made"), 0);
	(void)see(f, "made");
	assert_int_equal(drop(f, "other", false), 0);
	assert_int_equal(flags_of(f, "made"), NODE_CONTENT);
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
		OVERLAY_TEST(truncating_copies_only_what_is_kept),
		OVERLAY_TEST(a_large_file_is_copied_whole_and_has_holes),
		OVERLAY_TEST(copying_takes_what_is_there_from_either_side),
		OVERLAY_TEST(a_long_copy_is_told_of_and_done_in_parts),
		OVERLAY_TEST(what_is_damaged_below_is_not_copied),
		OVERLAY_TEST(a_copy_that_does_not_fit_leaves_nothing),
		OVERLAY_TEST(a_copy_whose_row_does_not_fit_leaves_nothing),
		OVERLAY_TEST(a_copy_that_fails_anywhere_leaves_nothing_and_says_why),
		OVERLAY_TEST(a_name_whose_row_does_not_fit_is_not_there),
		OVERLAY_TEST(threads_that_write_to_one_lower_file_copy_it_once),
		OVERLAY_TEST(
		    an_empty_file_that_was_lost_is_empty_and_another_is_an_error),
		OVERLAY_TEST(content_that_somebody_removed_is_an_error),
		OVERLAY_TEST(what_is_seen_to_have_content_is_noted),
		OVERLAY_TEST(the_room_is_that_of_the_disk_below),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
