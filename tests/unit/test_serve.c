/* What of fusefs/serve needs no mount: plans, layer numbers, options, features, control.
 */
#include "tests/unit/testing.h"

#include "cache/base/file.h"
#include "fusefs/serve/control.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/features.h"
#include "fusefs/serve/layers.h"
#include "fusefs/serve/log.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEX "0123456789abcdef0123456789abcdef"

struct fixture {
	char folder[40];
	int fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	*state = f;
	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/venvfs-serve-XXXXXX");
	if (!mkdtemp(f->folder))
		return -1;
	f->fd = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f->fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r = file_remove_tree_at(AT_FDCWD, f->folder);
	(void)close(f->fd);
	free(f);
	return r;
}

static struct plan make_plan(const char *const images[], size_t count)
{
	struct plan plan = { .path = strdup("/x/.venv"),
			     .python = strdup("/usr/bin/python3"),
			     .python_version = strdup("3.11.7"),
			     .site_packages = strdup("lib/python3.11/site-packages"),
			     .include = strdup("include/site/python3.11"),
			     .socket = strdup("/run/venvfs/x"),
			     .changed = 5,
			     .since = 6 };
	plan.layers = calloc(count + 1, sizeof(*plan.layers));
	plan.count = count;
	for (size_t i = 0; i < count; i++) {
		plan.layers[i].name = strdup(images[i]);
		plan.layers[i].image = digest_of(images[i], strlen(images[i]));
		plan.layers[i].packed = i == 0;
		plan.layers[i].number = (uint32_t)i + 1;
		plan.layers[i].size = 4096;
	}
	assert_int_equal(plan_stamp(&plan), 0);
	return plan;
}

#define PLAN(...)                                       \
	make_plan((const char *const[]){ __VA_ARGS__ }, \
		  sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void a_plan_is_read_as_it_was_written(void **state)
{
	const struct fixture *f = *state;
	struct plan plan = PLAN("skeleton", "numpy 2.1", "idna 3", "/data");
	struct plan read;
	plan.layers[3].folder = true;
	plan.keep_owner = true;
	assert_int_equal(plan_write(f->fd, &plan), 0);
	assert_int_equal(plan_read(f->fd, &read), 0);
	assert_string_equal(read.path, plan.path);
	assert_int_equal(read.count, 4);
	assert_int_equal(plan_wheels(&read), 2);
	assert_int_equal(plan_folders(&read), 1);
	assert_true(read.layers[3].folder && !read.layers[2].folder);
	assert_true(read.keep_owner && plan_has_pack(&read));
	assert_true(read.layers[0].packed && !read.layers[1].packed);
	assert_true(digest_equal(&read.layers[2].image, &plan.layers[2].image));
	assert_true(plan_is_of_this_boot(&read));
	plan_release(&plan);
	plan_release(&read);
}

static void a_damaged_plan_is_EBADMSG_and_never_more(void **state)
{
	const struct fixture *f = *state;
	struct plan plan = PLAN("skeleton", "numpy 2.1");
	struct plan read;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	assert_int_equal(plan_write(f->fd, &plan), 0);
	assert_int_equal(file_read_at(f->fd, "mount.json", 100000, &text), 0);
	for (size_t size = 0; size < text.size; size += 3) {
		assert_int_equal(
		    file_replace_at(f->fd, "mount.json", text.data, size, false), 0);
		if (plan_read(f->fd, &read) == 0)
			plan_release(&read);
	}
	assert_int_equal(file_replace_at(f->fd, "mount.json", "{}", 2, false), 0);
	assert_int_equal(plan_read(f->fd, &read), -EBADMSG);
	plan_release(&plan);
}

static void put_plan(const struct fixture *f, int version, const char *layer)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	assert_int_equal(
	    buffer_printf(
		&text,
		"{\"version\":%d,\"path\":\"/x\",\"python\":\"\",\"boot\":\"b\","
		"\"python_version\":\"\",\"site_packages\":\"\",\"include\":\"\","
		"\"upper\":\"\",\"socket\":\"s\",\"host\":\"h\",\"key\":\"%s\","
		"\"pack\":\"%s\",\"layers\":[%s]}",
		version, HEX, HEX, layer),
	    0);
	assert_int_equal(
	    file_replace_at(f->fd, "mount.json", text.data, text.size, false), 0);
}

static void a_plan_of_the_version_before_is_read_too(void **state)
{
	const struct fixture *f = *state;
	struct plan read;
	put_plan(f, 2,
		 "{\"number\":1,\"name\":\"skeleton\",\"image\":\"" HEX
		 "\",\"offset\":4096,\"size\":9},{\"number\":2,\"name\":\"/data\","
		 "\"image\":\"" HEX "\",\"folder\":true}");
	assert_int_equal(plan_read(f->fd, &read), 0);
	assert_int_equal(read.count, 2);
	assert_true(read.layers[0].packed && read.layers[1].folder);
	assert_int_equal(read.layers[0].offset, 4096);
	plan_release(&read);
}

static void a_layer_that_breaks_its_form_is_EBADMSG(void **state)
{
	static const char *const good[] = { "\"wheel 1 " HEX " numpy 2\"",
					    "\"folder 524287 " HEX " /a folder\"",
					    "\"packed 1 " HEX
					    " 0 18446744073709551615 x\"" };
	static const char *const bad[] = {
		"\"\"",
		"\"wheel\"",
		"\"wheel 1\"",
		"\"wheels 1 " HEX " x\"",
		"\"wheel 0 " HEX " x\"",
		"\"wheel -1 " HEX " x\"",
		"\"wheel 4294967296 " HEX " x\"",
		"\"wheel 1 " HEX "\"",
		"\"wheel 1 " HEX "0 x\"",
		"\"wheel 1 0123 x\"",
		"\"packed 1 " HEX " x\"",
		"\"packed 1 " HEX " 1 x\"",
		"\"packed 1 " HEX " -1 1 x\"",
		"\"packed 1 " HEX " 1 18446744073709551616 x\"",
		"5",
		"null",
	};
	const struct fixture *f = *state;
	struct plan read;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		put_plan(f, 3, good[i]);
		assert_int_equal(plan_read(f->fd, &read), 0);
		plan_release(&read);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_plan(f, 3, bad[i]);
		assert_int_equal(plan_read(f->fd, &read), -EBADMSG);
	}
}

static void number_and_write(const struct fixture *f, struct plan *plan, bool keep)
{
	bool changed;
	assert_int_equal(layers_number(f->fd, plan, &changed), 0);
	assert_int_equal(layers_write(f->fd, plan, keep), 0);
	assert_int_equal(layers_number(f->fd, plan, &changed), 0);
}

static void an_image_keeps_its_layer_number_and_none_is_used_twice(void **state)
{
	const struct fixture *f = *state;
	bool changed;
	struct plan first = PLAN("s", "a", "b");
	struct plan second = PLAN("s", "c", "a");
	struct plan third = PLAN("s", "b", "a");
	number_and_write(f, &first, false);
	assert_int_equal(first.layers[2].number, 3);
	assert_int_equal(layers_number(f->fd, &first, &changed), 0);
	assert_false(changed);
	assert_int_equal(layers_number(f->fd, &second, &changed), 0);
	assert_true(changed);
	number_and_write(f, &second, false);
	assert_int_equal(second.layers[0].number, 1);
	assert_int_equal(second.layers[1].number, 4);
	assert_int_equal(second.layers[2].number, 2);
	number_and_write(f, &third, false);
	assert_int_equal(third.layers[1].number, 5); /* b was forgotten, 3 is used up */
	plan_release(&first);
	plan_release(&second);
	plan_release(&third);
}

static void images_that_rows_may_name_keep_their_numbers(void **state)
{
	const struct fixture *f = *state;
	struct plan first = PLAN("s", "a", "b");
	struct plan second = PLAN("s", "c");
	struct plan again = PLAN("s", "a", "b");
	number_and_write(f, &first, false);
	number_and_write(f, &second, true);
	number_and_write(f, &again, true);
	assert_int_equal(again.layers[1].number, first.layers[1].number);
	assert_int_equal(again.layers[2].number, first.layers[2].number);
	plan_release(&first);
	plan_release(&second);
	plan_release(&again);
}

static void a_layers_file_that_is_damaged_is_not_written_over(void **state)
{
	static const char *const texts[] = {
		"",         "next\n",          "next 0\n",          "next 9\n7\n",
		"next x\n", "next 2\n5 abc\n", "next 99999999999\n"
	};
	const struct fixture *f = *state;
	struct plan plan = PLAN("s");
	bool changed;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		cleanup_buffer struct buffer text = BUFFER_INIT;
		assert_int_equal(
		    file_replace_at(f->fd, "layers", texts[i], strlen(texts[i]), false),
		    0);
		assert_int_equal(layers_number(f->fd, &plan, &changed), -EBADMSG);
		assert_int_equal(file_read_at(f->fd, "layers", 1000, &text), 0);
		assert_int_equal(text.size, strlen(texts[i]));
	}
	plan_release(&plan);
}

static void mount_options_are_checked_and_the_implied_dropped(void **state)
{
	struct device_words words;
	(void)state;
	assert_int_equal(device_check_options(
			     "ro,defaults,allow_other,,noatime,fsname=x y", &words, NULL),
			 0);
	assert_string_equal(words.options, "allow_other,noatime");
	assert_string_equal(words.source, "x y");
	assert_true(words.read_only);
	device_words_release(&words);
	assert_int_equal(device_check_options("ro,rw,relatime,strictatime,sync,dirsync,"
					      "nodiratime,noexec",
					      &words, NULL),
			 0);
	assert_false(words.read_only);
	assert_null(words.source);
	device_words_release(&words);
	static const char *const unknown[] = { "fd=3", "fsname=", "noatim", "user_id=0" };
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		assert_int_equal(device_check_options(unknown[i], &words, NULL), -EINVAL);
}

static void suid_and_dev_are_for_real_root(void **state)
{
	struct device_words words;
	(void)state;
	assert_int_equal(unsetenv("SUDO_UID"), 0);
	if (geteuid() == 0) {
		assert_int_equal(device_check_options("suid,dev", &words, NULL), 0);
		assert_string_equal(words.options, "suid,dev");
		device_words_release(&words);
		assert_int_equal(setenv("SUDO_UID", "1000", 1), 0);
	}
	assert_int_equal(device_check_options("suid", &words, NULL), -EPERM);
	assert_int_equal(device_check_options("noexec,dev", &words, NULL), -EPERM);
	assert_int_equal(unsetenv("SUDO_UID"), 0);
}

static void features_are_masked_by_name(void **state)
{
	unsigned features;
	(void)state;
	assert_int_equal(features_unmasked(NULL, &features, NULL), 0);
	assert_int_equal(features, ~0u);
	assert_int_equal(features_unmasked("no_open,negative", &features, NULL), 0);
	assert_int_equal(features, ~(unsigned)(FEATURE_NO_OPEN | FEATURE_NEGATIVE));
	assert_int_equal(features_unmasked("all", &features, NULL), 0);
	assert_int_equal(features, 0);
	assert_int_equal(features_unmasked("no_opem", &features, NULL), -EINVAL);
}

static json_t *answer(void *context, const json_t *request, int fds[DESCRIPTORS_MOST])
{
	const int *passed = context;
	if (passed && strcmp(json_get_text(request, "verb"), "pass") == 0)
		memcpy(fds, passed, 2 * sizeof(*passed));
	return json_pack("{s:s?}", "echo", json_get_text(request, "verb"));
}

static void send_raw(const char *path, const void *bytes, size_t size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char reply[1000];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)),
			 0);
	assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
	(void)recv(fd, reply, sizeof(reply), 0);
	(void)close(fd);
}

static void the_control_socket_answers_and_survives_nonsense(void **state)
{
	const struct fixture *f = *state;
	struct control *control;
	cleanup_free char *path = path_join(f->folder, "socket");
	cleanup_json json_t *request = json_pack("{s:s}", "verb", "hello");
	const struct control_options options = { .place = { path, "", NULL },
						 .answer = answer };
	assert_int_equal(control_start(&options, &control, NULL), 0);
	send_raw(path, "nonsense", 8);
	send_raw(path, "[1, 2]", 6);
	send_raw(path, "{", 1);
	for (int i = 0; i < 5; i++) {
		cleanup_json json_t *got = NULL;
		assert_int_equal(control_ask(&options.place, request, 2000, &got), 0);
		assert_string_equal(json_get_text(got, "echo"), "hello");
	}
	control_stop(control);
	json_t *got;
	assert_int_equal(control_ask(&options.place, request, 2000, &got), -ENOENT);
}

static void descriptors_come_with_the_answer(void **state)
{
	const struct fixture *f = *state;
	struct control *control;
	int passed[2];
	char got[5] = "";
	int fds[DESCRIPTORS_MOST] = { -1, -1, -1, -1 };
	cleanup_json json_t *reply = NULL;
	cleanup_json json_t *request = json_pack("{s:s}", "verb", "pass");
	cleanup_free char *path = path_join(f->folder, "socket");
	const struct control_options options = { .place = { path, "", NULL },
						 .answer = answer,
						 .context = passed };
	assert_int_equal(pipe2(passed, O_CLOEXEC), 0);
	assert_int_equal(control_start(&options, &control, NULL), 0);
	assert_int_equal(control_trade(&options.place, request, 2000, fds, &reply), 0);
	assert_true(fds[0] >= 0 && fds[1] >= 0 && fds[2] == -1);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fds[1], "word", 4), 4);
	assert_int_equal(read(passed[0], got, 4), 4);
	assert_string_equal(got, "word");
	/* They are the caller's: the server has its own still. */
	descriptors_close(fds);
	assert_int_equal(fcntl(passed[0], F_GETFD), FD_CLOEXEC);
	/* Those that nobody asked for are not kept. */
	fds[0] = passed[0];
	cleanup_json json_t *second = NULL;
	assert_int_equal(control_trade(&options.place, request, 2000, fds, &second), 0);
	descriptors_close(fds);
	control_stop(control);
	(void)close(passed[0]);
	(void)close(passed[1]);
}

static void a_state_directory_that_others_can_read_is_refused(void **state)
{
	const struct fixture *f = *state;
	CLEANUP(state_freep) struct state *s = NULL;
	assert_int_equal(chmod(f->folder, 0755), 0);
	assert_int_equal(state_open_directory(f->folder, &s, NULL), -EACCES);
	assert_int_equal(chmod(f->folder, 0700), 0);
	assert_int_equal(state_open_directory(f->folder, &s, NULL), 0);
	cleanup_fd int lock = state_lock(s, 0);
	assert_true(lock >= 0 && state_is_locked(s));
	assert_int_equal(state_lock(s, 5), -EAGAIN);
}

static void what_is_said_seldom_is_said_once_in_a_while(void **state)
{
	struct fixture *f = *state;
	cleanup_fd int fd = file_open(f->fd, "log", O_RDWR | O_CREAT | O_APPEND, 0600);
	struct log log = { .fd = fd, .state_path = f->folder };
	cleanup_buffer struct buffer text = BUFFER_INIT;
	assert_true(fd >= 0);
	for (int i = 1; i <= 3; i++)
		log_seldom(&log, "number %d", i);
	assert_int_equal(file_read_at(f->fd, "log", 4096, &text), 0);
	assert_non_null(strstr(buffer_cstr(&text), "number 1"));
	assert_null(strstr(buffer_cstr(&text), "number 2"));
	atomic_store(&log.said, atomic_load(&log.said) - 100);
	log_seldom(&log, "number %d", 4);
	assert_int_equal(file_read_at(f->fd, "log", 4096, &text), 0);
	assert_non_null(strstr(buffer_cstr(&text), "number 4"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_plan_is_read_as_it_was_written),
		TEST(a_damaged_plan_is_EBADMSG_and_never_more),
		TEST(a_plan_of_the_version_before_is_read_too),
		TEST(a_layer_that_breaks_its_form_is_EBADMSG),
		TEST(an_image_keeps_its_layer_number_and_none_is_used_twice),
		TEST(images_that_rows_may_name_keep_their_numbers),
		TEST(a_layers_file_that_is_damaged_is_not_written_over),
		TEST(mount_options_are_checked_and_the_implied_dropped),
		TEST(suid_and_dev_are_for_real_root),
		TEST(features_are_masked_by_name),
		TEST(the_control_socket_answers_and_survives_nonsense),
		TEST(descriptors_come_with_the_answer),
		TEST(what_is_said_seldom_is_said_once_in_a_while),
		TEST(a_state_directory_that_others_can_read_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
