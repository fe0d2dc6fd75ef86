#include "tests/unit/testing.h"

#include "cache/base/file.h"
#include "fusefs/supervise/logfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int setup(void **state)
{
	char *folder = strdup("/tmp/venvfs-log-XXXXXX");
	*state = folder;
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	char *folder = *state;
	int r = file_remove_tree_at(AT_FDCWD, folder);
	free(folder);
	return r;
}

static void read_log(const char *folder, const char *name, struct buffer *out)
{
	cleanup_free char *path = path_join(folder, name);
	assert_int_equal(file_read_at(AT_FDCWD, path, 4u << 20, out), 0);
	assert_non_null(buffer_cstr(out));
}

static void make_large(const char *folder)
{
	cleanup_free char *path = path_join(folder, "log");
	assert_int_equal(truncate(path, LOGFILE_MOST), 0);
}

static void a_line_has_its_time_before_it(void **state)
{
	const char *folder = *state;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_fd int fd = logfile_open(folder);
	logfile_line(folder, fd, "first");
	logfile_line(folder, fd, "second");
	read_log(folder, "log", &text);
	const char *cstr = buffer_cstr(&text);
	assert_non_null(strstr(cstr, "Z first\n20"));
	assert_string_equal(cstr + text.size - strlen("Z second\n"), "Z second\n");
}

static void a_long_line_is_cut(void **state)
{
	const char *folder = *state;
	char line[3000];
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_fd int fd = logfile_open(folder);
	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	logfile_line(folder, fd, line);
	read_log(folder, "log", &text);
	assert_int_equal(text.size, LOGFILE_LINE);
	assert_int_equal(text.data[text.size - 1], '\n');
}

static void a_large_log_is_moved_away_and_its_writers_follow(void **state)
{
	const char *folder = *state;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_fd int one = logfile_open(folder);
	cleanup_fd int other = logfile_open(folder);
	logfile_line(folder, one, "old");
	make_large(folder);
	logfile_line(folder, one, "new of one");
	logfile_line(folder, other, "new of the other");
	read_log(folder, "log", &text);
	assert_non_null(strstr(buffer_cstr(&text), "new of one\n"));
	assert_non_null(strstr(buffer_cstr(&text), "new of the other\n"));
	text.size = 0;
	read_log(folder, "log.old", &text);
	assert_int_equal(text.size, LOGFILE_MOST);
}

static void opening_moves_a_large_log_away(void **state)
{
	const char *folder = *state;
	struct stat st;
	int first = logfile_open(folder);
	make_large(folder);
	(void)close(first);
	cleanup_fd int fd = logfile_open(folder);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 0);
}

/* As supervisor and worker do, by one inherited descriptor each. */
static void of_many_writers_no_line_is_lost_and_none_moved_twice(void **state)
{
	enum { WRITERS = 4, LINES = 500 };
	const char *folder = *state;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_fd int fd = logfile_open(folder);
	make_large(folder);
	for (int writer = 0; writer < WRITERS; writer++) {
		if (fork() != 0)
			continue;
		for (int i = 0; i < LINES; i++)
			logfile_line(folder, fd, "a line");
		_exit(0);
	}
	for (int writer = 0; writer < WRITERS; writer++)
		assert_true(wait(NULL) > 0);
	read_log(folder, "log.old", &text);
	/* What was under way to the large one may have got there. */
	assert_in_range(text.size, LOGFILE_MOST, LOGFILE_MOST + 100 * WRITERS);
	size_t before = text.size - LOGFILE_MOST;
	text.size = 0;
	read_log(folder, "log", &text);
	assert_int_equal(before + text.size, (size_t)WRITERS * LINES *
						 strlen("2026-01-02T03:04:05Z a line\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_line_has_its_time_before_it),
		TEST(a_long_line_is_cut),
		TEST(a_large_log_is_moved_away_and_its_writers_follow),
		TEST(opening_moves_a_large_log_away),
		TEST(of_many_writers_no_line_is_lost_and_none_moved_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
