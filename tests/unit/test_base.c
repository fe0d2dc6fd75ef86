#include "tests/unit/testing.h"

#include "cache/base/bytes.h"
#include "cache/base/digest.h"
#include "cache/base/error.h"
#include "cache/base/file.h"
#include "cache/base/remote.h"
#include "cache/base/trust.h"
#include "cache/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static void sha256_survives_its_base64_form(void **state)
{
	(void)state;
	struct sha256 d = sha256_of("venvfs", 6);
	char text[SHA256_BASE64_SIZE];
	sha256_format_base64(&d, text);
	struct sha256 back;
	assert_true(sha256_parse_base64(text, 43, &back));
	assert_memory_equal(&d, &back, sizeof(d));
	assert_false(sha256_parse_base64(text, 42, &back));
	text[42] = '_'; /* bits beyond the 256th */
	assert_false(sha256_parse_base64(text, 43, &back));
}

static void sha256_of_nothing_is_the_known_one(void **state)
{
	(void)state;
	struct sha256 d = sha256_of("", 0);
	char text[SHA256_BASE64_SIZE];
	sha256_format_base64(&d, text);
	assert_string_equal(text, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
}

static void a_digest_in_pieces_is_the_digest_of_the_whole(void **state)
{
	(void)state;
	CLEANUP(digest_stream_freep) struct digest_stream *s = digest_stream_new();
	digest_stream_add(s, "hello ", 6);
	digest_stream_add(s, "world", 5);
	struct digest in_pieces = digest_stream_end(s);
	struct digest whole = digest_of("hello world", 11);
	assert_true(digest_equal(&in_pieces, &whole));
	char hex[DIGEST_HEX_SIZE];
	digest_format(&whole, hex);
	assert_string_equal(hex, "df8d09e93f874900a99b8775cc15b6c7");
	struct digest back;
	assert_true(digest_parse(hex, &back));
	assert_true(digest_equal(&back, &whole));
	assert_false(digest_parse("DF8D09E93F874900A99B8775CC15B6C7", &back));
	assert_false(digest_parse("df8d", &back));
}

static void an_error_text_stays_one_line(void **state)
{
	(void)state;
	struct error err = ERROR_INIT;
	assert_int_equal(error_set(&err, -EINVAL, "bad name '%s'", "a\nb\x1b[0m"),
			 -EINVAL);
	assert_string_equal(err.text, "bad name 'a?b?[0m'");
	assert_int_equal(error_prefix(&err, -EINVAL, "in %s", "x.whl"), -EINVAL);
	assert_string_equal(err.text, "in x.whl: bad name 'a?b?[0m'");
	assert_int_equal(error_set(NULL, -EIO, "nobody asked"), -EIO);
}

static void ranges_that_would_overflow_are_outside(void **state)
{
	(void)state;
	assert_true(range_inside(4, 4, 8));
	assert_false(range_inside(4, 5, 8));
	assert_false(range_inside(UINT64_MAX, 2, 8));
	assert_false(range_inside(2, UINT64_MAX, 8));
}

static int make_folder(void **state)
{
	char path[] = "/tmp/venvfs-test-XXXXXX";
	*state = mkdtemp(path) ? strdup(path) : NULL;
	return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
	int r = file_remove_tree_at(AT_FDCWD, *state);
	free(*state);
	return r;
}

static void opening_beneath_refuses_symlinks_and_dotdot(void **state)
{
	cleanup_fd int dir = file_open(AT_FDCWD, *state, O_RDONLY | O_DIRECTORY, 0);
	assert_true(dir >= 0);
	assert_int_equal(symlinkat("/etc", dir, "link"), 0);
	assert_int_equal(file_open_beneath(dir, "link/passwd", O_RDONLY, 0), -ELOOP);
	assert_int_equal(file_open_beneath(dir, "../x", O_RDONLY, 0), -EXDEV);
}

static void replacing_a_file_leaves_nothing_aside(void **state)
{
	cleanup_fd int dir = file_open(AT_FDCWD, *state, O_RDONLY | O_DIRECTORY, 0);
	assert_int_equal(file_replace_at(dir, "f", "one", 3, true), 0);
	assert_int_equal(file_replace_at(dir, "f", "second", 6, false), 0);
	cleanup_buffer struct buffer b = BUFFER_INIT;
	assert_int_equal(file_read_at(dir, "f", 100, &b), 0);
	assert_string_equal(buffer_cstr(&b), "second");
	assert_int_equal(file_read_at(dir, "f", 3, &b), -EFBIG);
	struct stat before;
	struct stat now;
	assert_int_equal(fstatat(dir, "f", &before, 0), 0);
	assert_int_equal(file_keep_lasting_at(dir, "f", "second", 6), 0);
	assert_int_equal(fstatat(dir, "f", &now, 0), 0);
	assert_int_equal(now.st_ino, before.st_ino);
	assert_int_equal(file_keep_lasting_at(dir, "f", "secon", 5), 0);
	b.size = 0;
	assert_int_equal(file_read_at(dir, "f", 100, &b), 0);
	assert_string_equal(buffer_cstr(&b), "secon");
	assert_int_equal(file_keep_lasting_at(dir, "f", "", 0), 0);
	assert_int_equal(fstatat(dir, "f", &now, 0), 0);
	assert_int_equal(now.st_size, 0);
	assert_int_equal(unlinkat(dir, "f", 0), 0);
	assert_int_equal(rmdir(*state), 0); /* it was empty */
}

/* By the group's bits, which root's own group would be excused for. */
static void a_directory_that_an_acl_lets_others_write_to_is_not_trusted(void **state)
{
	/* user::rwx user:12345:rwx group::r-x mask::rwx other::r-x */
	static const uint8_t acl[] = {
		2,  0, 0, 0,                       /* version */
		1,  0, 7, 0, 255,  255,  255, 255, /* its owner */
		2,  0, 7, 0, 0x39, 0x30, 0,   0,   /* another user */
		4,  0, 5, 0, 255,  255,  255, 255, /* its group */
		16, 0, 7, 0, 255,  255,  255, 255, /* the mask */
		32, 0, 5, 0, 255,  255,  255, 255, /* others */
	};
	const uid_t own = geteuid();
	struct error err = ERROR_INIT;
	cleanup_free char *path = realpath(*state, NULL);
	assert_int_equal(chmod(path, 0775), 0);
	if (chown(path, (uid_t)-1, 0) < 0)
		skip(); /* not root */
	assert_int_equal(trust_check_path(path, &own, 1, "X", &err), 0);
	if (setxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0) < 0)
		skip(); /* a file system without */
	assert_int_equal(trust_check_path(path, &own, 1, "X", &err), -EACCES);
	assert_non_null(strstr(err.text, "writable by others"));
	/* As the text says. */
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(trust_check_path(path, &own, 1, "X", &err), 0);
	assert_int_equal(removexattr(path, "system.posix_acl_access"), 0);
}

static void a_missing_last_component_is_canonical_too(void **state)
{
	cleanup_free char *path = path_join(*state, "not/../there");
	cleanup_free char *canonical = NULL;
	assert_int_equal(path_canonical(path, &canonical, NULL), -ENOENT);
	cleanup_free char *missing = path_join(*state, "./missing/");
	assert_int_equal(path_canonical(missing, &canonical, NULL), 0);
	cleanup_free char *real = realpath(*state, NULL);
	cleanup_free char *expected = path_join(real, "missing");
	assert_string_equal(canonical, expected);
}

static void utf8_is_valid_only_in_its_shortest_form(void **state)
{
	(void)state;
	static const char *const good[] = { "",
					    "plain",
					    "\xc3\xa9",
					    "\xe2\x82\xac",
					    "\xf0\x9f\x90\x8d",
					    "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\xe9",         "\xc3",
					   "\x80",         "\xc0\xaf",
					   "\xe0\x80\xaf", "\xed\xa0\x80",
					   "\xc3(",        "\xf4\x90\x80\x80",
					   "\xe2\x82",     "\xff" };
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(utf8_is_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(utf8_is_valid(bad[i], strlen(bad[i])));
	assert_true(utf8_is_valid("a\0b", 3));
}

static void the_type_of_a_disk_is_found_by_its_number(void **state)
{
	(void)state;
	static const char text[] =
	    "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
	    "40 22 0:36 / /home\\040dir rw shared:5 master:3 - nfs4 srv.example:/home rw\n"
	    "nonsense\n"
	    "41 22 0:37 / /x rw - fuse.sshfs me@host.example: rw";
	char type[FS_TYPE_SIZE];
	assert_true(mountinfo_type(text, makedev(0, 36), type));
	assert_string_equal(type, "nfs4");
	assert_true(fs_type_is_remote(type));
	assert_true(mountinfo_type(text, makedev(0, 37), type));
	assert_true(fs_type_is_remote(type));
	assert_true(mountinfo_type(text, makedev(254, 0), type));
	assert_false(fs_type_is_remote(type));
	assert_false(mountinfo_type(text, makedev(1, 1), type));
	assert_false(mountinfo_type("", makedev(1, 1), type));
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_false(file_is_remote(fd, type));
	assert_string_equal(type, "proc");
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_type_of_a_disk_is_found_by_its_number),
		cmocka_unit_test(sha256_survives_its_base64_form),
		cmocka_unit_test(sha256_of_nothing_is_the_known_one),
		cmocka_unit_test(a_digest_in_pieces_is_the_digest_of_the_whole),
		cmocka_unit_test(an_error_text_stays_one_line),
		cmocka_unit_test(ranges_that_would_overflow_are_outside),
		cmocka_unit_test(utf8_is_valid_only_in_its_shortest_form),
		cmocka_unit_test_setup_teardown(
		    opening_beneath_refuses_symlinks_and_dotdot, make_folder,
		    remove_folder),
		cmocka_unit_test_setup_teardown(replacing_a_file_leaves_nothing_aside,
						make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
		    a_directory_that_an_acl_lets_others_write_to_is_not_trusted,
		    make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(a_missing_last_component_is_canonical_too,
						make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
