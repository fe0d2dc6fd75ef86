/* From a plain folder to an image: what is kept, what is refused, what is known again. */
#include "tests/unit/testing.h"

#include "cache/base/file.h"
#include "cache/folder/folder.h"
#include "cache/folder/scan.h"
#include "cache/store/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

struct fixture {
	char place[40]; /* holds the folder and the cache */
	char *folder;
	struct store *store;
	int fd; /* of the folder */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	if (!f)
		return -1;
	*state = f;
	(void)snprintf(f->place, sizeof(f->place), "/var/tmp/venvfs-folder-XXXXXX");
	if (!mkdtemp(f->place))
		return -1;
	f->folder = path_join(f->place, "folder");
	cleanup_free char *cache = path_join(f->place, "cache");
	if (mkdir(f->folder, 0755) < 0)
		return -1;
	f->fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return store_open(cache, STORE_OWN, &f->store, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_free(f->store);
	(void)close(f->fd);
	int r = file_remove_tree_at(AT_FDCWD, f->place);
	free(f->folder);
	free(f);
	return r;
}

static void put(struct fixture *f, const char *path, const void *bytes, size_t size)
{
	cleanup_fd int fd =
	    openat(f->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, bytes, size), 0);
}

static void put_text(struct fixture *f, const char *path, const char *text)
{
	put(f, path, text, strlen(text));
}

static void set_mtime(struct fixture *f, const char *path, time_t seconds, long nsec)
{
	const struct timespec times[] = { { seconds, nsec }, { seconds, nsec } };
	assert_int_equal(utimensat(f->fd, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static struct digest add(struct fixture *f)
{
	struct folder_added added;
	struct error err = ERROR_INIT;
	int r = folder_add(f->store, f->folder, &added, &err);
	if (r < 0)
		fail_msg("%s", error_text(&err, r));
	return added.note.image;
}

static void assert_refused(struct fixture *f, const char *said)
{
	struct folder_added added;
	struct error err = ERROR_INIT;
	assert_true(folder_add(f->store, f->folder, &added, &err) < 0);
	if (!strstr(err.text, said))
		fail_msg("'%s' does not say '%s'", err.text, said);
}

static struct image *open_image(struct fixture *f, const struct digest *id)
{
	struct image *image;
	assert_int_equal(store_open_image(f->store, id, &image, NULL), 0);
	assert_int_equal(image_check(image, true, NULL), 0);
	return image;
}

static struct entry entry_at(struct image *image, const char *path)
{
	struct entry e;
	assert_int_equal(image_resolve(image, path, &e), 0);
	return e;
}

static void make_socket(struct fixture *f, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", f->folder,
		       name);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static void every_kind_is_kept_with_its_mode_and_time(void **state)
{
	struct fixture *f = *state;
	put_text(f, "file", "hello");
	assert_int_equal(fchmodat(f->fd, "file", 06751, 0), 0);
	assert_int_equal(mkdirat(f->fd, "empty", 0700), 0);
	assert_int_equal(fchmodat(f->fd, "empty", 01777, 0), 0);
	assert_int_equal(symlinkat("no/such", f->fd, "link"), 0);
	assert_int_equal(mkfifoat(f->fd, "fifo", 0600), 0);
	make_socket(f, "socket");
	set_mtime(f, "file", -5, 123456789);
	set_mtime(f, "link", 7, 1);
	set_mtime(f, "empty", 8, 2);
	set_mtime(f, ".", 9, 999999999);
	struct digest id = add(f);
	CLEANUP(image_freep) struct image *image = open_image(f, &id);
	struct entry e = entry_at(image, "file");
	assert_int_equal(e.mode, 06751);
	assert_int_equal(e.mtime, -5);
	assert_int_equal(e.mtime_nsec, 123456789);
	e = entry_at(image, "empty");
	assert_true(e.type == ENTRY_DIRECTORY && e.mode == 01777 && e.mtime == 8);
	e = entry_at(image, "link");
	assert_true(e.type == ENTRY_SYMLINK && e.mtime == 7 && e.mtime_nsec == 1);
	assert_int_equal(entry_at(image, "fifo").type, ENTRY_FIFO);
	assert_int_equal(entry_at(image, "socket").type, ENTRY_SOCKET);
	e = entry_at(image, "");
	assert_true(e.mtime == 9 && e.mtime_nsec == 999999999 && e.mode == 0755);
}

static void owners_attributes_and_hard_links_are_kept(void **state)
{
	struct fixture *f = *state;
	struct xattr x;
	uint32_t uid;
	uint32_t gid;
	uint32_t first;
	assert_int_equal(mkdirat(f->fd, "a", 0755), 0);
	put_text(f, "a/x", "content");
	assert_int_equal(linkat(f->fd, "a/x", f->fd, "z", 0), 0);
	cleanup_fd int fd = openat(f->fd, "z", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsetxattr(fd, "user.note", "v", 1, 0), 0);
	assert_int_equal(fsetxattr(f->fd, "user.root", "", 0, 0), 0);
	struct digest id = add(f);
	CLEANUP(image_freep) struct image *image = open_image(f, &id);
	struct entry z = entry_at(image, "z");
	struct entry ax = entry_at(image, "a/x");
	assert_int_equal(image_owner(image, ax.number, &uid, &gid), 0);
	assert_true(uid == getuid() && gid == getgid());
	assert_int_equal(image_hard_link(image, ax.number, &first), 0);
	assert_int_equal(first, z.number);
	assert_true(digest_equal(&z.digest, &ax.digest) && z.data == ax.data);
	for (int i = 0; i < 2; i++) {
		uint32_t number = i ? z.number : ax.number;
		assert_int_equal(image_xattr(image, number, 0, &x), 0);
		assert_memory_equal(x.name, "user.note", x.name_size);
		assert_int_equal(image_xattr(image, number, 1, &x), -ENODATA);
	}
	assert_int_equal(image_xattr(image, 0, 0, &x), 0);
	assert_int_equal(x.value_size, 0);
}

static void the_same_folder_is_the_same_image_and_any_change_another(void **state)
{
	struct fixture *f = *state;
	put_text(f, "b", "one");
	put_text(f, "a", "two");
	set_mtime(f, "a", 5, 5);
	set_mtime(f, "b", 6, 6);
	set_mtime(f, ".", 7, 7);
	struct digest first = add(f);
	struct digest again = add(f);
	assert_true(digest_equal(&first, &again));
	/* Made anew in another order: other inodes, and maybe another listing. */
	assert_int_equal(unlinkat(f->fd, "a", 0), 0);
	assert_int_equal(unlinkat(f->fd, "b", 0), 0);
	put_text(f, "a", "two");
	put_text(f, "b", "one");
	set_mtime(f, "a", 5, 5);
	set_mtime(f, "b", 6, 6);
	set_mtime(f, ".", 7, 7);
	again = add(f);
	assert_true(digest_equal(&first, &again));
	set_mtime(f, "b", 6, 7);
	again = add(f);
	assert_false(digest_equal(&first, &again));
	set_mtime(f, "b", 6, 6);
	assert_int_equal(fchmodat(f->fd, "b", 0640, 0), 0);
	again = add(f);
	assert_false(digest_equal(&first, &again));
	assert_int_equal(fchmodat(f->fd, "b", 0644, 0), 0);
	again = add(f);
	assert_true(digest_equal(&first, &again));
}

static void large_and_empty_files_come_back_byte_by_byte(void **state)
{
	enum { LARGE = 3000001 };
	struct fixture *f = *state;
	cleanup_free uint8_t *bytes = malloc(LARGE);
	for (size_t i = 0; i < LARGE; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	put(f, "large", bytes, LARGE);
	put(f, "empty", bytes, 0);
	put(f, "small", bytes, 70001);
	struct digest id = add(f);
	CLEANUP(image_freep) struct image *image = open_image(f, &id);
	struct entry e = entry_at(image, "large");
	cleanup_buffer struct buffer read = BUFFER_INIT;
	assert_true(e.in_object);
	assert_int_equal(image_read_file(image, &e, LARGE, &read), 0);
	assert_int_equal(read.size, LARGE);
	assert_memory_equal(read.data, bytes, LARGE);
	assert_int_equal(entry_at(image, "empty").size, 0);
}

static void an_unchanged_folder_is_known_without_reading_it(void **state)
{
	struct fixture *f = *state;
	struct folder_added added;
	struct folder_note note;
	time_t before = time(NULL);
	put_text(f, "file", "hello");
	struct digest first = add(f);
	assert_int_equal(store_find_folder(f->store, f->folder, &note), 0);
	assert_true(digest_equal(&note.image, &first));
	/* What was changed this second could be changed again unnoticed. (Where two are
	 * over by now, the machine is too slow to tell.) */
	bool soon = time(NULL) - before < 2;
	assert_int_equal(folder_add(f->store, f->folder, &added, NULL), 0);
	assert_false(soon && added.was_known);
	(void)sleep(2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(folder_add(f->store, f->folder, &added, NULL), 0);
	assert_true(added.was_known && digest_equal(&added.note.image, &first));
	assert_int_equal(added.note.entries, 1);
	assert_int_equal(added.note.size, 5);
	/* A change that keeps size and mtime: ctime tells. */
	set_mtime(f, "file", 5, 5);
	put_text(f, "file", "HELLO");
	set_mtime(f, "file", 5, 5);
	assert_int_equal(folder_add(f->store, f->folder, &added, NULL), 0);
	assert_false(added.was_known || digest_equal(&added.note.image, &first));
}

static void device_nodes_are_refused(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(mkdirat(f->fd, "d", 0755), 0);
	if (mknodat(f->fd, "d/null", S_IFCHR | 0600, makedev(1, 3)) < 0)
		skip();
	assert_refused(f, "folder/d/null' is a device node");
}

static void mount_points_below_are_refused(void **state)
{
	struct fixture *f = *state;
	cleanup_free char *point = path_join(f->folder, "point");
	assert_int_equal(mkdirat(f->fd, "point", 0755), 0);
	if (mount("x", point, "tmpfs", 0, "size=64k") < 0)
		skip();
	assert_refused(f, "folder/point' is a mount point");
	assert_int_equal(umount(point), 0);
}

/* As setfacl writes it: version 2, then tag, permissions and id of each entry. */
static void access_lists_are_refused(void **state)
{
	static const uint8_t acl[] = { 2,    0,    0,   0,    0x01, 0,   6,   0,   255,
				       255,  255,  255, 0x02, 0,    7,   0,   1,   0,
				       0,    0,    4,   0,    0,    0,   255, 255, 255,
				       255,  0x10, 0,   7,    0,    255, 255, 255, 255,
				       0x20, 0,    0,   0,    255,  255, 255, 255 };
	struct fixture *f = *state;
	put_text(f, "file", "x");
	cleanup_fd int fd = openat(f->fd, "file", O_RDONLY | O_CLOEXEC);
	if (fsetxattr(fd, "system.posix_acl_access", acl, sizeof(acl), 0) < 0)
		skip();
	assert_refused(f, "folder/file' has a POSIX ACL");
}

static void too_deep_a_folder_is_refused(void **state)
{
	struct fixture *f = *state;
	cleanup_buffer struct buffer path = BUFFER_INIT;
	for (int i = 0; i < 256; i++) {
		assert_int_equal(buffer_append_text(&path, i ? "/d" : "d"), 0);
		assert_int_equal(mkdirat(f->fd, buffer_cstr(&path), 0755), 0);
	}
	assert_refused(f, "deeper than an image can hold");
}

static void the_cache_itself_is_refused(void **state)
{
	struct fixture *f = *state;
	struct folder_added added;
	struct error err = ERROR_INIT;
	assert_int_equal(folder_add(f->store, f->place, &added, &err), -EINVAL);
	assert_non_null(strstr(err.text, "would hold itself"));
	assert_int_equal(folder_add(f->store, "/", &added, NULL), -EINVAL);
	assert_int_equal(folder_add(f->store, "/no/such", &added, NULL), -ENOENT);
}

static int take_note(void *context, const struct folder_note *note)
{
	*(struct folder_note *)context = *note;
	return 0;
}

static void print_line(void *context, const char *line)
{
	(void)buffer_append_text(context, line);
}

static void a_folder_is_listed_and_forgotten_when_its_image_is_damaged(void **state)
{
	struct fixture *f = *state;
	struct folder_note note = { .path = "" };
	struct verify_result result;
	cleanup_buffer struct buffer said = BUFFER_INIT;
	put_text(f, "file", "hello");
	struct digest id = add(f);
	assert_int_equal(store_each_folder(f->store, take_note, &note), 0);
	assert_string_equal(note.path, f->folder);
	assert_int_equal(store_sync(f->store), 0);
	assert_int_equal(store_verify(f->store, print_line, NULL, &said, &result), 0);
	assert_true(result.bad == 0 && result.folders == 1 && result.images == 1);
	char hex[DIGEST_HEX_SIZE];
	char path[200];
	digest_format(&id, hex);
	(void)snprintf(path, sizeof(path), "%s/cache/images/%.2s/%s", f->place, hex,
		       hex + 2);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(store_verify(f->store, print_line, NULL, &said, &result), 0);
	assert_int_equal(result.bad, 1);
	assert_int_equal(store_find_folder(f->store, f->folder, &note), -ENOENT);
}

static void a_scan_tells_what_has_changed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(scan_release) struct scan before = { .found = NULL };
	CLEANUP(scan_release) struct scan after = { .found = NULL };
	put_text(f, "a", "x");
	put_text(f, "b", "x");
	set_mtime(f, "a", 5, 5);
	assert_int_equal(scan_folder(f->fd, f->folder, &before, NULL), 0);
	put_text(f, "a", "y");
	assert_int_equal(scan_folder(f->fd, f->folder, &after, NULL), 0);
	assert_int_equal(before.count, 3);
	assert_false(scan_is_same(&before.found[1], &after.found[1]));
	assert_true(scan_is_same(&before.found[2], &after.found[2]));
	struct digest x = scan_stamps(&before);
	struct digest y = scan_stamps(&after);
	assert_false(digest_equal(&x, &y));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_kind_is_kept_with_its_mode_and_time),
		TEST(owners_attributes_and_hard_links_are_kept),
		TEST(the_same_folder_is_the_same_image_and_any_change_another),
		TEST(large_and_empty_files_come_back_byte_by_byte),
		TEST(an_unchanged_folder_is_known_without_reading_it),
		TEST(device_nodes_are_refused),
		TEST(mount_points_below_are_refused),
		TEST(access_lists_are_refused),
		TEST(too_deep_a_folder_is_refused),
		TEST(the_cache_itself_is_refused),
		TEST(a_folder_is_listed_and_forgotten_when_its_image_is_damaged),
		TEST(a_scan_tells_what_has_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
