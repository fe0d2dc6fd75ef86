/*
 * tests/golden pins the bytes of the image format (cache/store/FORMAT.md): what is
 * written today equals what was written when version 1 was decided, and that is still
 * read. After a change that is meant, VENVFS_WRITE_GOLDEN=1 writes the file anew, and
 * FORMAT.md and the version tell why.
 */
#include "tests/unit/testing.h"

#include "cache/base/file.h"
#include "cache/store/image_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCKS_SIZE = 150000, LARGEST = 1 << 20 };

static void add(struct image_writer *w, struct item item)
{
	assert_int_equal(image_writer_add(w, &item), 0);
}

static void add_file(struct image_writer *w, const char *path, const void *bytes,
		     size_t size)
{
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	assert_int_equal(image_writer_add_file(w, &item, bytes, size, true), 0);
}

/* An image with every type of entry and every section, in an order that is not sorted. */
static void write_everything(int fd, struct digest *ret_id)
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	cleanup_free uint8_t *blocks = malloc(BLOCKS_SIZE);
	uint64_t size;
	for (size_t i = 0; i < BLOCKS_SIZE; i++)
		blocks[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(image_writer_new(NULL, &w), 0);
	add_file(w, "site-packages/z.py", "z = 1\n", 6);
	add_file(w, "site-packages/a/__init__.py", "", 0);
	add_file(w, "site-packages/blocks.bin", blocks, BLOCKS_SIZE);
	add_file(w, "site-packages/\xc3\xa9t\xc3\xa9.py", "x", 1);
	add(w, (struct item){ .path = "link", .type = ENTRY_SYMLINK, .target = "a/b" });
	add(w, (struct item){ .path = "fifo", .type = ENTRY_FIFO, .mode = 0600 });
	add(w, (struct item){ .path = "socket", .type = ENTRY_SOCKET, .mode = 0755 });
	add(w, (struct item){ .path = "gone", .type = ENTRY_ABSENT });
	add(w, (struct item){ .path = "opaque",
			      .type = ENTRY_DIRECTORY,
			      .mode = 01777,
			      .opaque = true,
			      .own_mtime = true,
			      .mtime = -1,
			      .mtime_nsec = 999999999 });
	assert_int_equal(image_writer_set_owner(w, 1000, 100), 0);
	add_file(w, "owned", "o", 1);
	assert_int_equal(image_writer_set_owner(w, 0, 4294967294u), 0);
	assert_int_equal(image_writer_add_xattr(w, "user.name", "value", 5), 0);
	assert_int_equal(image_writer_add_xattr(w, "user.empty", "", 0), 0);
	add_file(w, "twin", "o", 1);
	assert_int_equal(image_writer_set_hard_link(w, "owned"), 0);
	assert_int_equal(image_writer_set_record(w, "a,,\n", 4), 0);
	assert_int_equal(image_writer_add_info(w, INFO_NAME, "demo", 4), 0);
	assert_int_equal(image_writer_add_info(w, INFO_VERSION, "1.0", 3), 0);
	assert_int_equal(image_writer_write_to(w, fd, 0, &size, ret_id), 0);
}

static void the_bytes_of_an_image_are_what_they_were(void **state)
{
	cleanup_fd int fd = memfd_create("image", MFD_CLOEXEC);
	cleanup_buffer struct buffer now = BUFFER_INIT;
	cleanup_buffer struct buffer golden = BUFFER_INIT;
	struct digest id;
	(void)state;
	write_everything(fd, &id);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_to_end(fd, LARGEST, &now), 0);
	if (getenv("VENVFS_WRITE_GOLDEN"))
		assert_int_equal(
		    file_replace_at(AT_FDCWD, GOLDEN, now.data, now.size, false), 0);
	assert_int_equal(file_read_at(AT_FDCWD, GOLDEN, LARGEST, &golden), 0);
	assert_int_equal(now.size, golden.size);
	assert_memory_equal(now.data, golden.data, now.size);
}

static void the_golden_image_is_read(void **state)
{
	cleanup_fd int fd = open(GOLDEN, O_RDONLY | O_CLOEXEC);
	CLEANUP(image_freep) struct image *image = NULL;
	struct entry e;
	struct stat st;
	uint32_t uid;
	uint32_t gid;
	uint32_t first;
	struct xattr xattr;
	const char *text;
	char hex[DIGEST_HEX_SIZE];
	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(image_open(fd, 0, (uint64_t)st.st_size, -1, &image, NULL), 0);
	assert_int_equal(image_check(image, true, NULL), 0);
	struct digest id = image_id(image);
	digest_format(&id, hex);
	assert_string_equal(hex, GOLDEN_ID);
	assert_int_equal(image_resolve(image, "opaque", &e), 0);
	assert_true(e.opaque && e.mode == 01777 && e.mtime == -1 &&
		    e.mtime_nsec == 999999999);
	assert_int_equal(image_owner(image, e.number, &uid, &gid), 0);
	assert_true(uid == 1000 && gid == 100);
	assert_int_equal(image_resolve(image, "owned", &e), 0);
	assert_int_equal(image_xattr(image, e.number, 1, &xattr), 0);
	assert_int_equal(xattr.name_size + xattr.value_size, 14);
	assert_int_equal(image_resolve(image, "twin", &e), 0);
	assert_int_equal(image_hard_link(image, e.number, &first), 0);
	assert_int_equal(image_resolve(image, "link", &e), 0);
	assert_int_equal(image_readlink(image, &e, &text), 0);
	assert_int_equal(memcmp(text, "a/b", 3), 0);
	assert_int_equal(image_resolve(image, "gone", &e), 0);
	assert_int_equal(e.type, ENTRY_ABSENT);
	size_t size;
	assert_int_equal(image_record(image, &text, &size), 0);
	assert_int_equal(size, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_of_an_image_are_what_they_were),
		cmocka_unit_test(the_golden_image_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
