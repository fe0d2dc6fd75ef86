/* An index.db that is damaged, foreign or of another version, and content that is none.
 */
#include "tests/unit/upper_fixture.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SOME = 40 };

/* Closed, with some rows of each kind. */
static void fill(struct upper_fixture *f)
{
	struct upper_reader *reader;
	char name[8];
	upper_start(f);
	for (int i = 0; i < SOME; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		assert_true(upper_add_file(f->upper, ROOT, name) != 0);
	}
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	assert_int_equal(upper_put_xattr(f->upper, NODE_UPPER | 1, "user.a", "1", 1), 0);
	assert_int_equal(upper_commit(f->upper, NULL), 0);
	upper_end(f->upper);
	upper_stop(f);
}

static void read_index(const struct upper_fixture *f, struct buffer *out)
{
	cleanup_free char *path = path_join(f->path, "index.db");
	assert_int_equal(file_read_at(AT_FDCWD, path, 1 << 24, out), 0);
}

static void write_index(const struct upper_fixture *f, const void *bytes, size_t size)
{
	cleanup_free char *path = path_join(f->path, "index.db");
	assert_int_equal(file_replace_at(AT_FDCWD, path, bytes, size, false), 0);
}

static void assert_refused_untouched(struct upper_fixture *f, int code)
{
	struct error err = ERROR_INIT;
	cleanup_buffer struct buffer before = BUFFER_INIT;
	cleanup_buffer struct buffer after = BUFFER_INIT;
	unsigned descriptors = count_descriptors();
	read_index(f, &before);
	assert_int_equal(upper_try(f, &err), code);
	assert_null(f->upper);
	assert_non_null(strstr(err.text, "index.db"));
	assert_int_equal(count_descriptors(), descriptors);
	read_index(f, &after);
	assert_int_equal(after.size, before.size);
	assert_memory_equal(after.data, before.data, before.size);
}

static void an_unknown_version_is_refused_and_left_untouched(void **state)
{
	struct upper_fixture *f = *state;
	fill(f);
	upper_sql(f, "PRAGMA user_version = 2");
	assert_refused_untouched(f, -EPROTO);
	/* Whatever that version does otherwise. */
	upper_sql(f, "PRAGMA journal_mode = DELETE; CREATE TABLE more(x)");
	assert_refused_untouched(f, -EPROTO);
}

static void add_one(struct upper *u)
{
	(void)upper_add_file(u, ROOT, "more");
}

static void what_is_not_ours_is_not_written_back_either(void **state)
{
	struct upper_fixture *f = *state;
	fill(f);
	upper_sql(f, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 0;"
		     "PRAGMA journal_mode = WAL");
	upper_sql(f, "PRAGMA user_version = 1");
	upper_crash(f, add_one);
	/* The version stands in the database, the last change in its WAL. */
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	read_index(f, &bytes);
	assert_true(bytes.size > 64);
	assert_true(upper_holds(f, "index.db-wal"));
	bytes.data[71] = 9;
	write_index(f, bytes.data, bytes.size);
	assert_refused_untouched(f, -EBADMSG);
}

static void a_foreign_schema_is_refused(void **state)
{
	static const char *const foreign[] = {
		"CREATE TRIGGER t AFTER UPDATE ON meta BEGIN DELETE FROM node; END",
		"CREATE VIEW v AS SELECT * FROM node",
		"CREATE TABLE further(x)",
		"ALTER TABLE node ADD COLUMN more INTEGER",
		"CREATE INDEX further ON node(uid)",
		"DROP INDEX listing",
		"DROP TABLE xattr",
		"PRAGMA application_id = 1",
		"ANALYZE",
	};
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
		struct upper_fixture *f = *state;
		fill(f);
		upper_sql(f, foreign[i]);
		assert_refused_untouched(f, -EBADMSG);
		assert_int_equal(upper_discard(f->path, NULL), 0);
	}
}

static void what_is_no_database_is_refused(void **state)
{
	struct upper_fixture *f = *state;
	static const char text[] = "This is no database, however long it is.";
	write_index(f, text, sizeof(text));
	assert_refused_untouched(f, -EBADMSG);
	cleanup_free char *zeros = calloc(1, 100000);
	write_index(f, zeros, 100000);
	assert_refused_untouched(f, -EBADMSG);
}

static void an_index_of_this_version_made_long_ago_is_read(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_dentry dentry;
	struct upper_node node;
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	assert_int_equal(file_read_at(AT_FDCWD, GOLDEN_INDEX, 1 << 20, &bytes), 0);
	write_index(f, bytes.data, bytes.size);
	upper_start(f);
	assert_rows(f->upper, ROOT, 0, "-a d l n0 n1 n3 n4 n5 moved s ");
	assert_int_equal(upper_lookup(f->upper, ROOT, "n0", &dentry, &node), 0);
	assert_int_equal(node.mode, S_IFREG | 04755);
	assert_int_equal(node.nlink, 2);
	/* Numbers of a clean end go on. */
	assert_int_equal(upper_add_file(f->upper, ROOT, "new"), NODE_UPPER | 16);
	upper_stop(f);
	/* Of an earlier program; it keeps the size of its pages. */
	assert_int_equal(upper_number(f, "PRAGMA page_size"), 4096);
	assert_int_equal(
	    upper_number(f, "SELECT count(*) FROM node WHERE id = (1 << 51) + 16"), 1);
}

static void what_was_never_written_is_none(void **state)
{
	struct upper_fixture *f = *state;
	write_index(f, "", 0);
	upper_start(f);
	assert_false(upper_has_rows(f->upper));
	assert_false(upper_holds(f, "index.db"));
	assert_true(upper_add_file(f->upper, ROOT, "a") != 0);
	assert_rows(f->upper, ROOT, 0, "a ");
}

static void what_is_no_file_is_refused(void **state)
{
	struct upper_fixture *f = *state;
	struct error err = ERROR_INIT;
	cleanup_free char *path = path_join(f->path, "index.db");
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(upper_try(f, &err), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(upper_try(f, &err), -EBADMSG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(upper_try(f, &err), -EBADMSG);
}

/* Asks all that can be asked; what comes is right or an error, never a crash. */
static int visit_row(void *context, const struct upper_dentry *d,
		     const struct upper_node *n)
{
	(void)context;
	(void)n;
	return d->name_size > 0 ? 0 : 1;
}

static void use(struct upper_fixture *f)
{
	struct upper_dentry dentry;
	struct upper_node node;
	cleanup_buffer struct buffer out = BUFFER_INIT;
	if (upper_try(f, NULL) < 0)
		return;
	struct upper_reader *reader = upper_read_list(f->upper);
	assert_true(upper_list(reader, ROOT, 0, visit_row, NULL) <= 0);
	assert_true(upper_each(reader, visit_row, NULL) <= 0);
	(void)upper_find_node(reader, NODE_UPPER | 1, &node);
	(void)upper_list_xattrs(reader, NODE_UPPER | 1, &out);
	upper_read_end(f->upper, reader);
	(void)upper_lookup(f->upper, ROOT, "n1", &dentry, &node);
	(void)upper_add_file(f->upper, ROOT, "new");
	upper_stop(f);
}

static void a_truncated_index_is_an_error_and_no_crash(void **state)
{
	struct upper_fixture *f = *state;
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	fill(f);
	read_index(f, &bytes);
	for (size_t size = bytes.size - 1; size > 1024; size -= 499) {
		write_index(f, bytes.data, size);
		use(f);
	}
	write_index(f, bytes.data, 1024);
	assert_refused_untouched(f, -EBADMSG);
}

static int check_all(struct upper_fixture *f)
{
	struct upper_reader *reader = upper_read_list(f->upper);
	int listed = upper_list(reader, ROOT, 0, visit_row, NULL);
	int each = upper_each(reader, visit_row, NULL);
	upper_read_end(f->upper, reader);
	assert_int_equal(listed, each);
	return listed;
}

static void a_row_that_cannot_be_is_an_error(void **state)
{
	static const char *const changes[] = {
		"node SET mode = 0", /* of no type */
		"node SET mode = 0x181a4",
		"node SET flags = 8",
		"node SET nlink = -1",
		"node SET nlink = 0x80000000",
		"node SET size = -1",
		"node SET atime_ns = 1000000000",
		"node SET mtime_ns = -1",
		"node SET ctime_ns = 0x3fffffff",
		"node SET size = 'text'",
		"node SET mtime = x'00'",
		"node SET parent = 1.5",
		"dentry SET node = 99",
		"dentry SET node = -1",
		"dentry SET node = 'text'",
		"dentry SET name = x'' WHERE name = CAST('n3' AS BLOB)",
		"dentry SET name = CAST('.' AS BLOB) WHERE name = CAST('n3' AS BLOB)",
		"dentry SET name = CAST('..' AS BLOB) WHERE name = CAST('n3' AS BLOB)",
		"dentry SET name = CAST('a/b' AS BLOB) WHERE name = CAST('n3' AS BLOB)",
		"dentry SET name = x'610062' WHERE name = CAST('n3' AS BLOB)",
		"dentry SET name = zeroblob(300) WHERE name = CAST('n3' AS BLOB)",
		"dentry SET name = 5 WHERE name = CAST('n3' AS BLOB)",
		"dentry SET cookie = cookie || 'x'",
		"dentry SET cookie = 7.5 WHERE name = CAST('n3' AS BLOB)",
		"dentry SET base = x'0011'",
		"dentry SET base = 'text'",
		"dentry SET flags = 'text'",
		"dentry SET flags = 4",
	};
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		struct upper_fixture *f = *state;
		char text[128];
		fill(f);
		(void)snprintf(text, sizeof(text), "UPDATE %s", changes[i]);
		upper_sql(f, text);
		upper_start(f);
		if (check_all(f) != -EBADMSG)
			fail_msg("%s is taken", changes[i]);
		upper_stop(f);
		assert_int_equal(upper_discard(f->path, NULL), 0);
	}
}

static void numbers_that_cannot_be_are_refused(void **state)
{
	static const char *const changes[] = {
		"next = 0",       "next = -5",
		"next = 1 << 51", "mark = -1",
		"mark = 1 << 51", "boot = zeroblob(100)",
		"id = 2",         "boot = printf('%.100c', 'x')",
		"next = 'text'",
	};
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		struct upper_fixture *f = *state;
		char text[128];
		fill(f);
		(void)snprintf(text, sizeof(text), "UPDATE meta SET %s", changes[i]);
		upper_sql(f, text);
		assert_int_equal(upper_try(f, NULL), -EBADMSG);
		assert_int_equal(upper_discard(f->path, NULL), 0);
	}
}

static void no_numbers_left_is_a_full_disk(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	fill(f);
	upper_sql(f, "UPDATE meta SET next = (1 << 51) - 10, mark = (1 << 51) - 10");
	upper_start(f);
	assert_int_equal(upper_begin(f->upper, true, &reader), -ENOSPC);
	assert_int_equal(check_all(f), 0);
}

/* No file of this process may grow: what SQLite writes fails, as on a full disk. */
static void limit_files(rlim_t size)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
}

static void a_first_change_that_fails_leaves_no_index_and_no_descriptor(void **state)
{
	struct upper_fixture *f = *state;
	struct upper_reader *reader;
	upper_start(f);
	limit_files(4000);
	assert_int_equal(upper_begin(f->upper, true, &reader), 0);
	assert_true(upper_begin_rows(f->upper) < 0);
	upper_end(f->upper);
	unsigned descriptors = count_descriptors();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(upper_begin(f->upper, true, &reader), 0);
		assert_true(upper_begin_rows(f->upper) < 0);
		upper_end(f->upper);
	}
	limit_files(RLIM_INFINITY);
	assert_int_equal(count_descriptors(), descriptors);
	assert_false(upper_holds(f, "index.db"));
	assert_false(upper_has_rows(f->upper));
	uint64_t id = upper_add_file(f->upper, ROOT, "a");
	upper_write(f->upper, id, "content");
	assert_rows(f->upper, ROOT, 0, "a ");
	assert_int_equal(upper_count_files(f, "files"), 1);
}

static void put_in_place(struct upper_fixture *f, uint64_t node, const char *kind)
{
	char below[64];
	(void)snprintf(below, sizeof(below), "files/%02x/%014llx",
		       (unsigned)(node >> 8 & 0xff), (unsigned long long)node);
	cleanup_free char *path = path_join(f->path, below);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(*kind == 'f'   ? mkfifo(path, 0600)
			 : *kind == 'd' ? mkdir(path, 0700)
					: symlink("/etc/passwd", path),
			 0);
}

static void content_that_is_no_file_is_never_opened(void **state)
{
	static const char *const kinds[] = { "fifo", "directory", "symlink" };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct upper_fixture *f = *state;
		struct content_ref ref;
		struct stat st;
		bool made;
		upper_start(f);
		uint64_t id = upper_add_file(f->upper, ROOT, "a");
		upper_write(f->upper, id, "content");
		upper_stop(f);
		put_in_place(f, id, kinds[i]);
		upper_start(f);
		assert_true(content_open(f->upper, id, &ref) < 0);
		assert_true(content_make(f->upper, id, &ref, &made) < 0);
		assert_int_equal(content_stat(f->upper, id, &st), -EBADMSG);
		upper_stop(f);
		assert_int_equal(upper_discard(f->path, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UPPER_TEST(an_unknown_version_is_refused_and_left_untouched),
		UPPER_TEST(what_is_not_ours_is_not_written_back_either),
		UPPER_TEST(a_foreign_schema_is_refused),
		UPPER_TEST(what_is_no_database_is_refused),
		UPPER_TEST(an_index_of_this_version_made_long_ago_is_read),
		UPPER_TEST(what_was_never_written_is_none),
		UPPER_TEST(what_is_no_file_is_refused),
		UPPER_TEST(a_truncated_index_is_an_error_and_no_crash),
		UPPER_TEST(a_row_that_cannot_be_is_an_error),
		UPPER_TEST(numbers_that_cannot_be_are_refused),
		UPPER_TEST(no_numbers_left_is_a_full_disk),
		UPPER_TEST(a_first_change_that_fails_leaves_no_index_and_no_descriptor),
		UPPER_TEST(content_that_is_no_file_is_never_opened),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
