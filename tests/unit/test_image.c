/* Images written and read back; damage found. */
#include "tests/unit/testing.h"

#include "cache/base/file.h"
#include "cache/store/image_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	int fd;
	uint64_t size;
	struct digest id;
	struct image *image;
	char *big; /* content of site-packages/big.bin */
};

enum { BIG = 3 * IMAGE_BLOCK + 17 };

static void add_text(struct image_writer *w, const char *path, const char *text)
{
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	assert_int_equal(image_writer_add_file(w, &item, text, strlen(text), true), 0);
}

/* One of everything that the format knows. */
static void fill(struct image_writer *w, const char *big)
{
	add_text(w, "site-packages/pkg/__init__.py", "print('hello')\n");
	add_text(w, "site-packages/pkg/a.py", "");
	add_text(w, "site-packages/pkg.dist-info/RECORD", "x,,\n");
	struct item file = { .path = "site-packages/big.bin",
			     .type = ENTRY_FILE,
			     .mode = 0755 };
	assert_int_equal(image_writer_begin_file(w, &file, BIG), 0);
	for (size_t at = 0; at < BIG; at += 10007)
		assert_int_equal(
		    image_writer_write(w, big + at, BIG - at < 10007 ? BIG - at : 10007),
		    0);
	assert_int_equal(image_writer_end_file(w, NULL), 0);
	struct item link = {
		.path = "lib64", .type = ENTRY_SYMLINK, .target = "lib", .mode = 0777
	};
	assert_int_equal(image_writer_add(w, &link), 0);
	struct item dir = { .path = "empty",
			    .type = ENTRY_DIRECTORY,
			    .mode = 0700,
			    .opaque = true,
			    .own_mtime = true,
			    .mtime = -5,
			    .mtime_nsec = 7 };
	assert_int_equal(image_writer_add(w, &dir), 0);
	assert_int_equal(image_writer_set_owner(w, 1000, 100), 0);
	assert_int_equal(image_writer_add_xattr(w, "user.b", "two", 3), 0);
	assert_int_equal(image_writer_add_xattr(w, "user.a", "", 0), 0);
	struct item fifo = { .path = "fifo", .type = ENTRY_FIFO, .mode = 0600 };
	assert_int_equal(image_writer_add(w, &fifo), 0);
	struct item socket = { .path = "socket", .type = ENTRY_SOCKET, .mode = 0600 };
	assert_int_equal(image_writer_add(w, &socket), 0);
	struct item gone = { .path = "gone", .type = ENTRY_ABSENT };
	assert_int_equal(image_writer_add(w, &gone), 0);
	add_text(w, "second.py", "shared\n");
	add_text(w, "first.py", "");
	assert_int_equal(image_writer_set_hard_link(w, "second.py"), 0);
	assert_int_equal(image_writer_set_hard_link(w, "nowhere.py"), -ENOENT);
	assert_int_equal(image_writer_set_record(w, "a,b,c\n", 6), 0);
	assert_int_equal(image_writer_add_info(w, INFO_NAME, "pkg", 3), 0);
	assert_int_equal(image_writer_add_info(w, INFO_TAG, "py3-none-any", 12), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->big = malloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		f->big[i] = (char)(i * 2654435761U >> 13);
	f->fd = memfd_create("image", MFD_CLOEXEC);
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	assert_int_equal(image_writer_new(NULL, &w), 0);
	fill(w, f->big);
	assert_int_equal(image_writer_write_to(w, f->fd, 0, &f->size, &f->id), 0);
	assert_int_equal(image_open(f->fd, 0, f->size, -1, &f->image, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	image_free(f->image);
	(void)close(f->fd);
	free(f->big);
	free(f);
	return 0;
}

static void what_was_written_is_read_back(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(image_check(f->image, true, NULL), 0);
	struct entry e;
	assert_int_equal(image_resolve(f->image, "site-packages/pkg/__init__.py", &e), 0);
	assert_int_equal(e.type, ENTRY_FILE);
	assert_int_equal(e.mode, 0644);
	assert_int_equal(e.mtime, content_mtime(&e.digest));
	cleanup_buffer struct buffer b = BUFFER_INIT;
	assert_int_equal(image_read_file(f->image, &e, 100, &b), 0);
	assert_string_equal(buffer_cstr(&b), "print('hello')\n");
	b.size = 0;
	assert_int_equal(image_path(f->image, e.number, &b), 0);
	assert_string_equal(buffer_cstr(&b), "site-packages/pkg/__init__.py");
	struct sha256 sha256;
	assert_int_equal(image_sha256(f->image, e.number, &sha256), 0);
	struct sha256 expected = sha256_of("print('hello')\n", 15);
	assert_memory_equal(&sha256, &expected, sizeof(sha256));
	assert_int_equal(image_resolve(f->image, "site-packages/nothing", &e), -ENOENT);
	assert_int_equal(image_resolve(f->image, "lib64/x", &e), -ENOTDIR);
}

static void an_image_of_a_pack_lies_where_it_is_said_to(void **state)
{
	struct fixture *f = *state;
	enum { AT = 1 << 20 };
	assert_true(f->size < AT);
	cleanup_free void *bytes = malloc(f->size);
	assert_int_equal(pread(f->fd, bytes, f->size, 0), f->size);
	assert_int_equal(pwrite(f->fd, bytes, f->size, AT), f->size);
	CLEANUP(image_pack_freep) struct image_pack *pack = NULL;
	struct image *image = NULL;
	assert_int_equal(image_pack_open(f->fd, &pack, NULL), 0);
	assert_int_equal(image_open_packed(pack, AT, f->size, &image, NULL), 0);
	assert_int_equal(image_check(image, true, NULL), 0);
	image_free(image);
	const uint64_t wrong[][2] = { { AT + 1, f->size },      { AT + 4096, f->size },
				      { AT, f->size + 1 },      { AT, UINT64_MAX },
				      { UINT64_MAX - 4095, 1 }, { 4096, f->size } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(
		    image_open_packed(pack, wrong[i][0], wrong[i][1], &image, NULL),
		    -EBADMSG);
}

static void every_type_and_section_survives(void **state)
{
	struct fixture *f = *state;
	struct entry e;
	const char *target;
	assert_int_equal(image_resolve(f->image, "lib64", &e), 0);
	assert_int_equal(image_readlink(f->image, &e, &target), 0);
	assert_memory_equal(target, "lib", 3);
	assert_int_equal(image_resolve(f->image, "fifo", &e), 0);
	assert_int_equal(e.type, ENTRY_FIFO);
	assert_int_equal(image_resolve(f->image, "socket", &e), 0);
	assert_int_equal(e.type, ENTRY_SOCKET);
	assert_int_equal(image_resolve(f->image, "gone", &e), 0);
	assert_int_equal(e.type, ENTRY_ABSENT);
	assert_int_equal(image_resolve(f->image, "empty", &e), 0);
	assert_true(e.opaque);
	assert_int_equal(e.mtime, -5);
	assert_int_equal(e.mtime_nsec, 7);
	uint32_t uid;
	uint32_t gid;
	assert_int_equal(image_owner(f->image, e.number, &uid, &gid), 0);
	assert_int_equal(uid, 1000);
	assert_int_equal(gid, 100);
	struct xattr x;
	assert_int_equal(image_xattr(f->image, e.number, 0, &x), 0);
	assert_memory_equal(x.name, "user.a", 6);
	assert_int_equal(image_xattr(f->image, e.number, 1, &x), 0);
	assert_memory_equal(x.value, "two", 3);
	assert_int_equal(image_xattr(f->image, e.number, 2, &x), -ENODATA);
	assert_int_equal(image_owner(f->image, 0, &uid, &gid), -ENODATA);
}

static void hard_links_share_content_and_name_their_first(void **state)
{
	struct fixture *f = *state;
	struct entry first;
	struct entry second;
	uint32_t of;
	assert_int_equal(image_resolve(f->image, "first.py", &first), 0);
	assert_int_equal(image_resolve(f->image, "second.py", &second), 0);
	assert_int_equal(first.size, 7);
	assert_true(digest_equal(&first.digest, &second.digest));
	assert_int_equal(first.data, second.data);
	assert_int_equal(image_hard_link(f->image, second.number, &of), 0);
	assert_int_equal(of, first.number);
}

static void record_and_info_are_there(void **state)
{
	struct fixture *f = *state;
	const char *text;
	size_t size;
	assert_int_equal(image_record(f->image, &text, &size), 0);
	assert_int_equal(size, 6);
	assert_memory_equal(text, "a,b,c\n", 6);
	struct info info;
	assert_int_equal(image_info(f->image, INFO_TAG, &info), 0);
	assert_int_equal(info.size, 12);
	assert_memory_equal(info.value, "py3-none-any", 12);
	assert_int_equal(image_info(f->image, INFO_GUI_SCRIPT, &info), -ENODATA);
}

static void reads_at_any_offset_give_the_right_bytes(void **state)
{
	struct fixture *f = *state;
	struct entry e;
	cleanup_free char *scratch = malloc(IMAGE_SCRATCH(BIG));
	assert_int_equal(image_resolve(f->image, "site-packages/big.bin", &e), 0);
	assert_int_equal(e.size, BIG);
	for (uint64_t at = 0; at < BIG + 10; at += 4093) {
		struct image_bytes bytes;
		assert_int_equal(image_read(f->image, &e, at, 70000, scratch, &bytes), 0);
		size_t expected = at >= BIG ? 0 : BIG - at < 70000 ? BIG - at : 70000;
		assert_int_equal(bytes.size, expected);
		if (bytes.size > 0)
			assert_memory_equal(bytes.data, f->big + at, bytes.size);
	}
}

/* Walks all of an image as a server would; true when nothing wrong was met. */
static bool walk(struct image *image)
{
	cleanup_free char *scratch = malloc(IMAGE_SCRATCH(BIG));
	for (uint32_t n = 0; n < image_count(image); n++) {
		struct entry e;
		struct image_bytes bytes;
		const char *target;
		struct sha256 sha256;
		if (image_entry(image, n, &e) < 0)
			return false;
		if (e.type == ENTRY_FILE &&
		    image_read(image, &e, 0, BIG, scratch, &bytes) < 0)
			return false;
		if (e.type == ENTRY_SYMLINK && image_readlink(image, &e, &target) < 0)
			return false;
		if (image_sha256(image, n, &sha256) == -EBADMSG)
			return false;
	}
	return true;
}

static void a_flipped_byte_anywhere_is_found(void **state)
{
	struct fixture *f = *state;
	unsigned found = 0;
	unsigned tried = 0;
	assert_int_equal(image_check(f->image, true, NULL), 0);
	for (uint64_t at = 0; at < f->size; at += at < 8192 ? 1 : 509) {
		uint8_t byte;
		assert_int_equal(pread(f->fd, &byte, 1, (off_t)at), 1);
		byte ^= 0x40;
		assert_int_equal(pwrite(f->fd, &byte, 1, (off_t)at), 1);
		struct image *image = NULL;
		int r = image_open(f->fd, 0, f->size, -1, &image, NULL);
		if (r < 0 || image_check(image, true, NULL) < 0)
			found++;
		image_free(image);
		byte ^= 0x40;
		assert_int_equal(pwrite(f->fd, &byte, 1, (off_t)at), 1);
		tried++;
	}
	assert_int_equal(found, tried);
}

static void a_byte_flipped_after_its_page_was_checked_never_crashes(void **state)
{
	struct fixture *f = *state;
	assert_true(walk(f->image));
	for (uint64_t at = 0; at < f->size; at += at < 8192 ? 1 : 509) {
		uint8_t byte;
		assert_int_equal(pread(f->fd, &byte, 1, (off_t)at), 1);
		byte ^= 0x81;
		assert_int_equal(pwrite(f->fd, &byte, 1, (off_t)at), 1);
		(void)walk(f->image);
		byte ^= 0x81;
		assert_int_equal(pwrite(f->fd, &byte, 1, (off_t)at), 1);
	}
}

/* Runs without cmocka, which takes SIGBUS for itself. */
static int cut_short(void)
{
	void *state = NULL;
	(void)setup(&state);
	struct fixture *f = state;
	bool right_before = walk(f->image);
	bool cut = ftruncate(f->fd, 0) == 0;
	bool wrong_after = !walk(f->image) && image_is_bad(f->image);
	(void)teardown(&state);
	return right_before && cut && wrong_after ? 0 : 1;
}

static void an_image_cut_short_while_open_is_an_error_not_a_crash(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		(void)execl("/proc/self/exe", "test_image", "--cut-short", (char *)NULL);
		_exit(127);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_same_entries_in_another_order_give_the_same_image(void **state)
{
	(void)state;
	struct digest ids[2];
	for (int turn = 0; turn < 2; turn++) {
		CLEANUP(image_writer_freep) struct image_writer *w = NULL;
		cleanup_fd int fd = memfd_create("image", MFD_CLOEXEC);
		uint64_t size;
		assert_int_equal(image_writer_new(NULL, &w), 0);
		for (int i = 0; i < 300; i++) {
			char path[64];
			int number = turn ? 299 - i : i;
			(void)snprintf(path, sizeof(path), "d%d/e%d/f%d.py", number % 3,
				       number % 7, number);
			add_text(w, path, path);
		}
		assert_int_equal(image_writer_write_to(w, fd, 0, &size, &ids[turn]), 0);
	}
	assert_true(digest_equal(&ids[0], &ids[1]));
}

static void paths_that_cannot_be_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "/a",     "a//b", "a/", "..",
					   "a/../b", "./a",  "a/." };
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	assert_int_equal(image_writer_new(NULL, &w), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct item item = { .path = bad[i],
				     .type = ENTRY_DIRECTORY,
				     .mode = 0755 };
		assert_int_equal(image_writer_add(w, &item), -EINVAL);
	}
	add_text(w, "file", "x");
	struct item below = { .path = "file/below", .type = ENTRY_DIRECTORY };
	assert_int_equal(image_writer_add(w, &below), -ENOTDIR);
	struct item again = { .path = "file", .type = ENTRY_DIRECTORY };
	assert_int_equal(image_writer_add(w, &again), -EEXIST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--cut-short") == 0)
		return cut_short();
	const struct CMUnitTest tests[] = {
		TEST(what_was_written_is_read_back),
		TEST(an_image_of_a_pack_lies_where_it_is_said_to),
		TEST(every_type_and_section_survives),
		TEST(hard_links_share_content_and_name_their_first),
		TEST(record_and_info_are_there),
		TEST(reads_at_any_offset_give_the_right_bytes),
		TEST(a_flipped_byte_anywhere_is_found),
		TEST(a_byte_flipped_after_its_page_was_checked_never_crashes),
		cmocka_unit_test(an_image_cut_short_while_open_is_an_error_not_a_crash),
		cmocka_unit_test(the_same_entries_in_another_order_give_the_same_image),
		cmocka_unit_test(paths_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
