/* A cache directory: publishing, notes, trust, verify. */
#include "tests/unit/testing.h"

#include "cache/base/file.h"
#include "cache/store/cache.h"
#include "cache/store/image_writer.h"
#include "cache/store/lease.h"
#include "cache/store/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct fixture {
	char *path; /* the cache */
	struct store *store;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char folder[] = "/tmp/venvfs-store-XXXXXX";
	if (!f || !mkdtemp(folder))
		return -1;
	f->path = path_join(folder, "cache");
	*state = f;
	return store_open(f->path, STORE_OWN, &f->store, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_free(f->store);
	*strrchr(f->path, '/') = '\0';
	int r = file_remove_tree_at(AT_FDCWD, f->path);
	free(f->path);
	free(f);
	return r;
}

enum { LARGE = 200000 };

/* An image of one small file and one object of `fill` bytes. */
static int publish(struct store *store, char fill, struct digest *ret_id)
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	cleanup_free char *bytes = malloc(LARGE);
	memset(bytes, fill, LARGE);
	struct item small = { .path = "a/small.py", .type = ENTRY_FILE, .mode = 0644 };
	struct item large = { .path = "a/large.so", .type = ENTRY_FILE, .mode = 0755 };
	int r = image_writer_new(store, &w);
	if (r == 0)
		r = image_writer_add_file(w, &small, &fill, 1, true);
	if (r == 0)
		r = image_writer_add_file(w, &large, bytes, LARGE, true);
	return r < 0 ? r : image_writer_publish(w, ret_id, NULL);
}

static struct wheel_note note_of(const struct digest *image)
{
	struct wheel_note note = { .sha256 = sha256_of("wheel", 5),
				   .image = *image,
				   .size = 5 };
	(void)snprintf(note.file_name, sizeof(note.file_name), "a-1-py3-none-any.whl");
	return note;
}

static unsigned count_entries(const char *path, const char *below)
{
	cleanup_free char *folder = path_join(path, below);
	cleanup_fd int fd = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = file_list_dir(fd);
	unsigned count = 0;
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	return count;
}

static void publishing_the_same_image_twice_stores_one(void **state)
{
	struct fixture *f = *state;
	struct digest one;
	struct digest two;
	assert_int_equal(publish(f->store, 'x', &one), 0);
	assert_int_equal(publish(f->store, 'x', &two), 0);
	assert_true(digest_equal(&one, &two));
	assert_int_equal(count_entries(f->path, "images"), 1);
	assert_int_equal(count_entries(f->path, "objects"), 1);
	assert_int_equal(count_entries(f->path, "tmp"), 0);
}

static void a_writer_that_gives_up_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	cleanup_free char *bytes = calloc(1, LARGE);
	struct item large = { .path = "large", .type = ENTRY_FILE, .mode = 0644 };
	assert_int_equal(image_writer_new(f->store, &w), 0);
	assert_int_equal(image_writer_add_file(w, &large, bytes, LARGE, false), 0);
	image_writer_free(steal_ptr(w));
	assert_int_equal(count_entries(f->path, "images"), 0);
	assert_int_equal(count_entries(f->path, "objects"), 0);
	assert_int_equal(count_entries(f->path, "tmp"), 0);
}

static void a_file_of_another_size_than_announced_is_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	struct item item = { .path = "f", .type = ENTRY_FILE, .mode = 0644 };
	assert_int_equal(image_writer_new(f->store, &w), 0);
	assert_int_equal(image_writer_begin_file(w, &item, 3), 0);
	assert_int_equal(image_writer_write(w, "1234", 4), -EINVAL);
	assert_int_equal(image_writer_write(w, "12", 2), 0);
	assert_int_equal(image_writer_end_file(w, NULL), -EINVAL);
}

static void a_noted_wheel_is_found_until_its_note_is_cut_short(void **state)
{
	struct fixture *f = *state;
	struct digest id;
	assert_int_equal(publish(f->store, 'x', &id), 0);
	struct wheel_note note = note_of(&id);
	struct wheel_note found;
	assert_int_equal(store_find_wheel(f->store, &note.sha256, &found), -ENOENT);
	assert_int_equal(store_note_wheel(f->store, &note, NULL), 0);
	assert_int_equal(store_find_wheel(f->store, &note.sha256, &found), 0);
	assert_string_equal(found.file_name, note.file_name);
	char path[512];
	char hex[SHA256_HEX_SIZE];
	sha256_format(&note.sha256, hex);
	(void)snprintf(path, sizeof(path), "%s/wheels/%s", f->path, hex);
	assert_int_equal(truncate(path, 60), 0);
	assert_int_equal(store_find_wheel(f->store, &note.sha256, &found), -ENOENT);
}

/* Rewrites a note as if it had been written in another boot. */
static void change_boot(const struct fixture *f, const char *kind, const char *name)
{
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s/%s", f->path, kind, name);
	cleanup_buffer struct buffer text = BUFFER_INIT;
	assert_int_equal(file_read_at(AT_FDCWD, path, 4096, &text), 0);
	char *boot = strstr(buffer_cstr(&text), "boot ");
	assert_non_null(boot);
	boot[5] = boot[5] == '0' ? '1' : '0';
	assert_int_equal(file_replace_at(AT_FDCWD, path, text.data, text.size, false), 0);
}

static void pretend_another_boot(const struct fixture *f, const struct wheel_note *note)
{
	char hex[SHA256_HEX_SIZE];
	sha256_format(&note->sha256, hex);
	change_boot(f, "wheels", hex);
}

static void damage(const char *cache, const char *kind, const struct digest *id, off_t at)
{
	char hex[DIGEST_HEX_SIZE];
	char path[512];
	digest_format(id, hex);
	(void)snprintf(path, sizeof(path), "%s/%s/%.2s/%s", cache, kind, hex, hex + 2);
	assert_int_equal(chmod(path, 0600), 0);
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_WRONLY, 0);
	assert_int_equal(pwrite(fd, "\x7f", 1, at), 1);
}

static void what_another_boot_lost_is_not_trusted_and_can_be_added_again(void **state)
{
	struct fixture *f = *state;
	struct digest id;
	struct wheel_note found;
	assert_int_equal(publish(f->store, 'x', &id), 0);
	struct wheel_note note = note_of(&id);
	assert_int_equal(store_note_wheel(f->store, &note, NULL), 0);
	pretend_another_boot(f, &note);
	assert_int_equal(store_find_wheel(f->store, &note.sha256, &found),
			 0); /* it is whole */
	assert_int_equal(store_note_wheel(f->store, &note, NULL), 0);
	pretend_another_boot(f, &note);
	cleanup_free char *bytes = malloc(LARGE);
	memset(bytes, 'x', LARGE);
	struct digest object = digest_of(bytes, LARGE);
	damage(f->path, "objects", &object, 70000);
	assert_int_equal(store_find_wheel(f->store, &note.sha256, &found), -ENOENT);
	assert_int_equal(publish(f->store, 'x', &id), 0);
	assert_int_equal(store_note_wheel(f->store, &note, NULL), 0);
	pretend_another_boot(f, &note);
	assert_int_equal(store_find_wheel(f->store, &note.sha256, &found), 0);
}

static void syncing_takes_the_boot_out_of_the_note(void **state)
{
	struct fixture *f = *state;
	struct digest id;
	assert_int_equal(publish(f->store, 'x', &id), 0);
	struct wheel_note note = note_of(&id);
	assert_int_equal(store_note_wheel(f->store, &note, NULL), 0);
	assert_int_equal(count_entries(f->path, "unsynced"), 1);
	assert_int_equal(store_sync(f->store), 0);
	assert_int_equal(count_entries(f->path, "unsynced"), 0);
	assert_int_equal(store_find_wheel(f->store, &note.sha256, &note), 0);
}

static void the_note_of_a_folder_is_settled_as_that_of_a_wheel(void **state)
{
	struct fixture *f = *state;
	struct folder_note note = { .entries = 2, .size = 3, .path = "/data/a b" };
	struct folder_note found;
	char name[DIGEST_HEX_SIZE];
	struct digest path = digest_of(note.path, strlen(note.path));
	digest_format(&path, name);
	assert_int_equal(publish(f->store, 'x', &note.image), 0);
	assert_int_equal(store_note_folder(f->store, &note, NULL), 0);
	assert_int_equal(store_find_folder(f->store, "/data/a", &found), -ENOENT);
	assert_int_equal(store_find_folder(f->store, note.path, &found), 0);
	assert_memory_equal(&found, &note, offsetof(struct folder_note, path));
	assert_int_equal(count_entries(f->path, "unsynced"), 1);
	assert_int_equal(store_sync(f->store), 0);
	assert_int_equal(count_entries(f->path, "unsynced"), 0);
	assert_int_equal(store_note_folder(f->store, &note, NULL), 0);
	change_boot(f, "folders", name);
	assert_int_equal(store_find_folder(f->store, note.path, &found), 0);
	assert_int_equal(store_note_folder(f->store, &note, NULL), 0);
	change_boot(f, "folders", name);
	damage(f->path, "images", &note.image, 300);
	assert_int_equal(store_find_folder(f->store, note.path, &found), -ENOENT);
	(void)snprintf(note.path, sizeof(note.path), "/a\nb");
	assert_int_equal(store_note_folder(f->store, &note, NULL), -EINVAL);
}

static void count_line(void *context, const char *line)
{
	(void)line;
	++*(unsigned *)context;
}

static void verify_finds_a_flipped_byte_in_image_and_object(void **state)
{
	struct fixture *f = *state;
	struct digest id;
	unsigned lines = 0;
	struct verify_result result;
	assert_int_equal(publish(f->store, 'x', &id), 0);
	struct wheel_note note = note_of(&id);
	assert_int_equal(store_note_wheel(f->store, &note, NULL), 0);
	assert_int_equal(store_verify(f->store, count_line, NULL, &lines, &result), 0);
	assert_int_equal(result.bad, 0);
	assert_int_equal(result.images, 1);
	assert_int_equal(result.objects, 1);
	damage(f->path, "images", &id, 300);
	assert_int_equal(store_verify(f->store, count_line, NULL, &lines, &result), 0);
	assert_int_equal(result.bad, 1);
	assert_int_equal(lines, 1);
}

static void a_changed_object_is_an_error_when_it_is_read(void **state)
{
	struct fixture *f = *state;
	struct digest id;
	struct entry e;
	assert_int_equal(publish(f->store, 'x', &id), 0);
	CLEANUP(image_freep) struct image *image = NULL;
	assert_int_equal(store_open_image(f->store, &id, &image, NULL), 0);
	assert_int_equal(image_resolve(image, "a/large.so", &e), 0);
	assert_true(e.in_object);
	cleanup_buffer struct buffer b = BUFFER_INIT;
	assert_int_equal(image_read_file(image, &e, LARGE, &b), 0);
	assert_int_equal(b.size, LARGE);
	damage(f->path, "objects", &e.digest, LARGE - 1);
	assert_int_equal(image_read_file(image, &e, LARGE, &b), -EBADMSG);
}

static void an_unknown_format_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	struct store *store = NULL;
	struct error err = ERROR_INIT;
	cleanup_free char *path = path_join(f->path, "format");
	assert_int_equal(file_replace_at(AT_FDCWD, path, "venvfs cache 2\n", 15, false),
			 0);
	assert_int_equal(store_open(f->path, STORE_OWN, &store, &err), -EPROTO);
	cleanup_buffer struct buffer text = BUFFER_INIT;
	assert_int_equal(file_read_at(AT_FDCWD, path, 100, &text), 0);
	assert_string_equal(buffer_cstr(&text), "venvfs cache 2\n");
}

static void a_cache_that_others_can_change_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store *store = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(chmod(f->path, 0777), 0);
	assert_int_equal(store_open(f->path, STORE_OWN, &store, &err), -EACCES);
	assert_non_null(strstr(err.text, "chmod go-w"));
	assert_int_equal(chmod(f->path, 0700), 0);
}

static void a_directory_with_other_things_is_not_taken_for_a_cache(void **state)
{
	struct fixture *f = *state;
	struct store *store = NULL;
	cleanup_free char *other = path_join(f->path, "tmp/other");
	cleanup_free char *file = path_join(other, "letter.txt");
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(file_replace_at(AT_FDCWD, file, "dear", 4, false), 0);
	assert_int_equal(store_open(other, STORE_OWN, &store, NULL), -ENOTEMPTY);
	assert_int_equal(store_open(other, STORE_SHARED, &store, NULL), -ENOENT);
	assert_int_equal(count_entries(other, "."), 1);
}

static void a_seen_file_is_known_by_its_stamps(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	struct sha256 sha256 = sha256_of("x", 1);
	struct sha256 found;
	assert_int_equal(stat("/proc/self/exe", &st), 0);
	st.st_ctim.tv_sec = 1000; /* long ago */
	assert_int_equal(store_find_seen(f->store, &st, &found), -ENOENT);
	assert_int_equal(store_note_seen(f->store, &st, &sha256), 0);
	assert_int_equal(store_find_seen(f->store, &st, &found), 0);
	assert_memory_equal(&found, &sha256, sizeof(found));
	st.st_ctim.tv_nsec++;
	assert_int_equal(store_find_seen(f->store, &st, &found), -ENOENT);
}

static void a_fact_that_was_damaged_is_absent(void **state)
{
	struct fixture *f = *state;
	struct digest key = digest_of("key", 3);
	cleanup_buffer struct buffer out = BUFFER_INIT;
	assert_int_equal(store_put_fact(f->store, "plans", &key, "value", 5), 0);
	assert_int_equal(store_get_fact(f->store, "plans", &key, &out), 0);
	assert_string_equal(buffer_cstr(&out), "value");
	char hex[DIGEST_HEX_SIZE];
	char path[512];
	digest_format(&key, hex);
	(void)snprintf(path, sizeof(path), "%s/plans/%s", f->path, hex);
	assert_int_equal(truncate(path, 18), 0);
	assert_int_equal(store_get_fact(f->store, "plans", &key, &out), -ENOENT);
}

static void age(const struct fixture *f, const char *name, int days)
{
	cleanup_free char *path = path_join(f->path, name);
	struct timespec times[2] = { { .tv_sec = time(NULL) - (time_t)days * 86400 } };
	times[1] = times[0];
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void
facts_that_nobody_asked_for_in_a_month_go_when_something_is_added(void **state)
{
	struct fixture *f = *state;
	struct digest id;
	struct digest keys[3];
	char names[3][64];
	for (int i = 0; i < 3; i++) {
		char hex[DIGEST_HEX_SIZE];
		cleanup_buffer struct buffer out = BUFFER_INIT;
		keys[i] = digest_of(&i, sizeof(i));
		digest_format(&keys[i], hex);
		(void)snprintf(names[i], sizeof(names[i]), "plans/%s", hex);
		assert_int_equal(store_put_fact(f->store, "plans", &keys[i], "value", 5),
				 0);
		age(f, names[i], i == 2 ? 29 : 31);
		if (i == 1)
			assert_int_equal(
			    store_get_fact(f->store, "plans", &keys[i], &out), 0);
	}
	assert_int_equal(publish(f->store, 'x', &id), 0);
	for (int i = 0; i < 3; i++) {
		cleanup_buffer struct buffer out = BUFFER_INIT;
		assert_int_equal(store_get_fact(f->store, "plans", &keys[i], &out),
				 i == 0 ? -ENOENT : 0);
	}
}

static void what_was_written_aside_by_the_dead_goes_when_something_is_added(void **state)
{
	static const char *const left[] = { "wheels/ab.123.7ffe01.tmp",
					    "plans/cd.9.7ffe01.tmp",
					    "seen/ef.77.7f.tmp" };
	struct fixture *f = *state;
	struct digest id = digest_of("key", 3);
	assert_int_equal(store_put_fact(f->store, "plans", &id, "value", 5), 0);
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		cleanup_free char *path = path_join(f->path, left[i]);
		cleanup_fd int fd = file_open(AT_FDCWD, path, O_CREAT | O_WRONLY, 0600);
		assert_true(fd >= 0);
		age(f, left[i], i == 0 ? 0 : 1);
	}
	assert_int_equal(publish(f->store, 'x', &id), 0);
	assert_int_equal(count_entries(f->path, "wheels"), 1); /* it may be at work */
	assert_int_equal(count_entries(f->path, "plans"), 1);
	assert_int_equal(count_entries(f->path, "seen"), 0);
}

static void a_lease_ends_with_its_holder(void **state)
{
	struct fixture *f = *state;
	struct lease *lease = NULL;
	struct digest id = digest_of("i", 1);
	assert_int_equal(lease_take(f->store, "test", &lease), 0);
	assert_int_equal(lease_narrow(lease, &id, 1), 0);
	assert_int_equal(count_entries(f->path, "leases"), 1);
	lease_free(lease);
	assert_int_equal(count_entries(f->path, "leases"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(publishing_the_same_image_twice_stores_one),
		TEST(a_writer_that_gives_up_leaves_nothing),
		TEST(a_file_of_another_size_than_announced_is_refused),
		TEST(a_noted_wheel_is_found_until_its_note_is_cut_short),
		TEST(what_another_boot_lost_is_not_trusted_and_can_be_added_again),
		TEST(syncing_takes_the_boot_out_of_the_note),
		TEST(the_note_of_a_folder_is_settled_as_that_of_a_wheel),
		TEST(verify_finds_a_flipped_byte_in_image_and_object),
		TEST(a_changed_object_is_an_error_when_it_is_read),
		TEST(an_unknown_format_is_refused_and_left_alone),
		TEST(a_cache_that_others_can_change_is_refused),
		TEST(a_directory_with_other_things_is_not_taken_for_a_cache),
		TEST(a_seen_file_is_known_by_its_stamps),
		TEST(a_fact_that_was_damaged_is_absent),
		TEST(facts_that_nobody_asked_for_in_a_month_go_when_something_is_added),
		TEST(what_was_written_aside_by_the_dead_goes_when_something_is_added),
		TEST(a_lease_ends_with_its_holder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
