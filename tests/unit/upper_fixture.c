#include "tests/unit/upper_fixture.h"

#include "cache/base/file.h"
#include "fusefs/upper/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int upper_setup(void **state)
{
	struct upper_fixture *f = calloc(1, sizeof(*f));
	if (!f)
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "/tmp/venvfs-upper-XXXXXX");
	*state = f;
	return mkdtemp(f->path) ? 0 : -1;
}

int upper_teardown(void **state)
{
	struct upper_fixture *f = *state;
	upper_close(f->upper);
	int r = file_remove_tree_at(AT_FDCWD, f->path);
	free(f);
	return r;
}

int upper_try(struct upper_fixture *f, struct error *reterr)
{
	const struct upper_options options = { .path = f->path,
					       .sync = true,
					       .owner = "/mounted/here" };
	return upper_open(&options, &f->upper, reterr);
}

void upper_start(struct upper_fixture *f)
{
	assert_null(f->upper);
	assert_int_equal(upper_try(f, NULL), 0);
}

void upper_stop(struct upper_fixture *f)
{
	upper_close(f->upper);
	f->upper = NULL;
}

void upper_crash(struct upper_fixture *f, void (*change)(struct upper *u))
{
	int status;
	upper_stop(f);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (upper_try(f, NULL) < 0)
			_exit(1);
		change(f->upper);
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

struct upper_node upper_row_of_file(uint64_t id)
{
	return (struct upper_node){ .id = id,
				    .mode = S_IFREG | 0640,
				    .uid = 7,
				    .gid = 8,
				    .nlink = 1,
				    .atime = { 1, 2 },
				    .mtime = { -3, 4 },
				    .ctime = { 5, 999999999 } };
}

struct upper_dentry upper_row_of_name(uint64_t parent, const char *name, uint64_t node,
				      uint64_t cookie)
{
	return (struct upper_dentry){ .parent = parent,
				      .name = name,
				      .name_size = strlen(name),
				      .node = node,
				      .cookie = cookie };
}

uint64_t upper_add_file(struct upper *u, uint64_t parent, const char *name)
{
	struct upper_reader *reader;
	if (upper_begin(u, true, &reader) < 0)
		return 0;
	if (upper_begin_rows(u) < 0) {
		upper_end(u);
		return 0;
	}
	uint64_t id = upper_new_node(u);
	struct upper_node node = upper_row_of_file(id);
	struct upper_dentry dentry =
	    upper_row_of_name(parent, name, id, upper_new_cookie(u));
	int r = upper_insert_node(u, &node, NULL);
	if (r == 0)
		r = upper_put_dentry(u, &dentry);
	if (r == 0)
		r = upper_commit(u, NULL);
	upper_end(u);
	return r == 0 ? id : 0;
}

void upper_write(struct upper *u, uint64_t node, const char *text)
{
	cleanup_content struct content_ref ref = CONTENT_NONE;
	bool made;
	if (content_make(u, node, &ref, &made) < 0 ||
	    file_pwrite_all(ref.fd, text, strlen(text), 0) < 0)
		abort();
}

int upper_lookup(struct upper *u, uint64_t parent, const char *name,
		 struct upper_dentry *ret, struct upper_node *ret_node)
{
	struct upper_reader *reader = upper_read(u);
	int r = upper_find_dentry(reader, parent, name, strlen(name), ret, ret_node);
	upper_read_end(u, reader);
	return r;
}

static int append_row(void *context, const struct upper_dentry *dentry,
		      const struct upper_node *node)
{
	assert_int_equal(dentry->node, node->id);
	return buffer_printf(context, "%s%.*s ", node->id ? "" : "-",
			     (int)dentry->name_size, dentry->name);
}

void assert_rows(struct upper *u, uint64_t parent, uint64_t after, const char *expected)
{
	cleanup_buffer struct buffer names = BUFFER_INIT;
	struct upper_reader *reader = upper_read_list(u);
	int r = upper_list(reader, parent, after, append_row, &names);
	upper_read_end(u, reader);
	assert_int_equal(r, 0);
	assert_string_equal(buffer_cstr(&names), expected);
}

static sqlite3 *open_index(const struct upper_fixture *f)
{
	sqlite3 *db;
	cleanup_free char *path = path_join(f->path, "index.db");
	assert_null(f->upper);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), 0);
	return db;
}

void upper_sql(const struct upper_fixture *f, const char *text)
{
	sqlite3 *db = open_index(f);
	int code = sqlite3_exec(db, text, NULL, NULL, NULL);
	if (code != SQLITE_OK)
		print_error("%s: %s\n", text, sqlite3_errmsg(db));
	(void)sqlite3_close(db);
	assert_int_equal(code, SQLITE_OK);
}

int64_t upper_number(const struct upper_fixture *f, const char *query)
{
	sqlite3_stmt *s = NULL;
	sqlite3 *db = open_index(f);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	int64_t found = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(db);
	return found;
}

bool upper_holds(const struct upper_fixture *f, const char *below)
{
	struct stat st;
	cleanup_free char *path = path_join(f->path, below);
	return lstat(path, &st) == 0;
}

static unsigned count_in(const char *path, unsigned levels)
{
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	unsigned count = 0;
	while (dir && (entry = readdir(dir)) != NULL) {
		cleanup_free char *below = path_join(path, entry->d_name);
		if (entry->d_name[0] == '.')
			continue;
		count += entry->d_type == DT_DIR && levels > 0
			     ? count_in(below, levels - 1)
			     : entry->d_type != DT_DIR;
	}
	return count;
}

unsigned upper_count_files(const struct upper_fixture *f, const char *below)
{
	cleanup_free char *path = path_join(f->path, below);
	return count_in(path, 1);
}

unsigned count_descriptors(void)
{
	return count_in("/proc/self/fd", 0);
}
