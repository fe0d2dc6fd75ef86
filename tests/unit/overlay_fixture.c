#include "tests/unit/overlay_fixture.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void add_text(struct image_writer *w, const char *path, const char *text)
{
	const struct item item = { .path = path,
				   .type = ENTRY_FILE,
				   .mode = 0644,
				   .own_mtime = true,
				   .mtime = 2000 };
	assert_int_equal(image_writer_add_file(w, &item, text, strlen(text), false), 0);
}

static void add_other(struct image_writer *w, const char *path, enum entry_type type,
		      const char *target)
{
	const struct item item = {
		.path = path,
		.type = type,
		.mode = type == ENTRY_DIRECTORY ? 0755
						: (type == ENTRY_SYMLINK ? 0777 : 0600),
		.target = target,
	};
	assert_int_equal(image_writer_add(w, &item), 0);
}

static void add_big(struct image_writer *w)
{
	const struct item item = { .path = "big", .type = ENTRY_FILE, .mode = 0644 };
	cleanup_free char *bytes = malloc(BIG);
	for (int i = 0; i < BIG; i++)
		bytes[i] = (char)('0' + i / IMAGE_BLOCK);
	assert_int_equal(image_writer_add_file(w, &item, bytes, BIG, false), 0);
}

static void add_lower(struct fixture *lower)
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	const struct item file = { .path = "file",
				   .type = ENTRY_FILE,
				   .mode = 06755,
				   .own_mtime = true,
				   .mtime = 1000,
				   .mtime_nsec = 500000000 };
	assert_int_equal(image_writer_new(NULL, &w), 0);
	assert_int_equal(image_writer_add_file(w, &file, "0123456789", 10, false), 0);
	assert_int_equal(image_writer_add_xattr(w, "user.k", "v", 1), 0);
	add_big(w);
	add_text(w, "h1", "linked");
	add_text(w, "d/h2", "linked");
	assert_int_equal(image_writer_set_hard_link(w, "h1"), 0);
	add_text(w, "d/one", "one");
	add_text(w, "d/two", "two");
	add_text(w, "d/sub/x", "x");
	add_other(w, "empty", ENTRY_DIRECTORY, NULL);
	add_other(w, "fifo", ENTRY_FIFO, NULL);
	add_other(w, "link", ENTRY_SYMLINK, "d/one");
	add_image(lower, 1, w);
	lower->layers[0].folder = true;
}

void start(struct overlay_fixture *f)
{
	const struct upper_options options = { .path = f->path,
					       .sync = true,
					       .owner = "/m" };
	assert_int_equal(upper_open(&options, &f->upper, NULL), 0);
	const struct overlay_options over = { .tree = f->lower->tree, .upper = f->upper };
	assert_int_equal(overlay_new(&over, &f->overlay), 0);
}

void stop(struct overlay_fixture *f)
{
	overlay_free(f->overlay);
	upper_close(f->upper);
	f->overlay = NULL;
	f->upper = NULL;
}

void restart(struct overlay_fixture *f)
{
	stop(f);
	start(f);
}

int overlay_setup(void **state)
{
	struct overlay_fixture *f = calloc(1, sizeof(*f));
	void *lower;
	if (!f || setup(&lower) < 0)
		return -1;
	f->lower = lower;
	f->caller = (struct caller){ .uid = 100, .gid = 200 };
	(void)snprintf(f->path, sizeof(f->path), "/tmp/venvfs-overlay-XXXXXX");
	*state = f;
	if (!mkdtemp(f->path))
		return -1;
	add_lower(f->lower);
	assert_int_equal(unite_folders(f->lower, false), 0);
	start(f);
	return 0;
}

int overlay_teardown(void **state)
{
	struct overlay_fixture *f = *state;
	void *lower = f->lower;
	stop(f);
	int r = file_remove_tree_at(AT_FDCWD, f->path);
	free(f);
	return teardown(&lower) < 0 ? -1 : r;
}

int look(struct overlay_fixture *f, const char *path, struct stat *ret)
{
	int r = overlay_stat(f->overlay, TREE_ROOT, ret);
	while (r == 0 && *path) {
		char name[256];
		size_t size = strcspn(path, "/");
		memcpy(name, path, size);
		name[size] = '\0';
		r = overlay_lookup(f->overlay, ret->st_ino, name, ret);
		path += size + (path[size] == '/');
	}
	return r;
}

struct stat see(struct overlay_fixture *f, const char *path)
{
	struct stat st;
	int r = look(f, path, &st);
	if (r < 0)
		fail_msg("%s: %s", path, strerror(-r));
	return st;
}

uint64_t node_of(struct overlay_fixture *f, const char *path)
{
	return see(f, path).st_ino;
}

uint64_t dir_of(struct overlay_fixture *f, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return TREE_ROOT;
	cleanup_free char *dir = strndup(path, (size_t)(slash - path));
	return node_of(f, dir);
}

static int released(struct overlay_fixture *f, int r)
{
	if (r == 0)
		overlay_release(f->overlay);
	return r;
}

int make(struct overlay_fixture *f, const char *path, mode_t mode, const char *target)
{
	const struct overlay_new what = { .mode = mode, .target = target };
	const char *name;
	struct stat st;
	uint64_t dir = dir_of(f, path, &name);
	int r = released(f, overlay_make(f->overlay, &f->caller, dir, name, &what, &st));
	if (r == 0)
		overlay_forget(f->overlay, st.st_ino, 1, NULL);
	return r;
}

int drop(struct overlay_fixture *f, const char *path, bool directory)
{
	const char *name;
	uint64_t dir = dir_of(f, path, &name);
	return released(f, overlay_remove(f->overlay, &f->caller, dir, name, directory));
}

int move(struct overlay_fixture *f, const char *from, const char *to, unsigned flags)
{
	struct overlay_rename q = { .flags = flags };
	q.from_dir = dir_of(f, from, &q.from);
	q.to_dir = dir_of(f, to, &q.to);
	return released(f, overlay_rename(f->overlay, &f->caller, &q));
}

int join(struct overlay_fixture *f, uint64_t node, const char *path)
{
	const char *name;
	struct stat st;
	uint64_t dir = dir_of(f, path, &name);
	int r = released(f, overlay_link(f->overlay, &f->caller, node, dir, name, &st));
	if (r == 0)
		overlay_forget(f->overlay, node, 1, NULL);
	return r;
}

int set_xattr(struct overlay_fixture *f, const char *path, const char *name,
	      const char *value)
{
	const struct overlay_xattr xattr = { .name = name,
					     .value = value,
					     .size = value ? strlen(value) : 0 };
	uint64_t node = node_of(f, path);
	return released(f, overlay_set_xattr(f->overlay, &f->caller, node, &xattr));
}

int set_attributes(struct overlay_fixture *f, const char *path, unsigned flags,
		   const struct stat *want)
{
	struct stat st;
	return overlay_set(f->overlay, &f->caller, node_of(f, path), flags, want, &st);
}

int set_mode(struct overlay_fixture *f, const char *path, mode_t mode)
{
	const struct stat want = { .st_mode = mode };
	return set_attributes(f, path, SET_MODE, &want);
}

int set_size(struct overlay_fixture *f, const char *path, off_t size)
{
	const struct stat want = { .st_size = size };
	return set_attributes(f, path, SET_SIZE, &want);
}

ssize_t put_text(struct overlay_fixture *f, uint64_t node, uint64_t at, const char *text)
{
	return overlay_write(f->overlay, &f->caller, node, at, text, strlen(text));
}

uint64_t make_text(struct overlay_fixture *f, const char *path, const char *text)
{
	assert_int_equal(make(f, path, S_IFREG | 0644, NULL), 0);
	uint64_t node = node_of(f, path);
	assert_int_equal(put_text(f, node, 0, text), strlen(text));
	return node;
}

void assert_text(struct overlay_fixture *f, uint64_t node, const char *expected)
{
	enum { MOST = 100 };
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(MOST));
	struct image_bytes bytes;
	assert_int_equal(overlay_read(f->overlay, node, 0, MOST, scratch, &bytes), 0);
	assert_int_equal(bytes.size, strlen(expected));
	assert_memory_equal(bytes.data, expected, bytes.size);
}

static int append_child(void *context, const struct overlay_child *child)
{
	return buffer_printf(context, "%.*s ", (int)child->name_size, child->name);
}

void assert_names(struct overlay_fixture *f, const char *path, const char *expected)
{
	cleanup_buffer struct buffer names = BUFFER_INIT;
	uint64_t dir = node_of(f, path);
	assert_int_equal(overlay_list(f->overlay, dir, 0, false, append_child, &names),
			 0);
	assert_string_equal(buffer_cstr(&names), expected);
}

void assert_xattr(struct overlay_fixture *f, const char *path, const char *name,
		  const char *expected)
{
	cleanup_buffer struct buffer value = BUFFER_INIT;
	uint64_t node = node_of(f, path);
	int r = overlay_get_xattr(f->overlay, node, name, &value);
	assert_int_equal(r, expected ? 0 : -ENODATA);
	if (expected)
		assert_string_equal(buffer_cstr(&value), expected);
}

static unsigned count_in(const char *path)
{
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	unsigned count = 0;
	while (dir && (entry = readdir(dir)) != NULL) {
		cleanup_free char *below = path_join(path, entry->d_name);
		if (entry->d_name[0] != '.')
			count += entry->d_type == DT_DIR ? count_in(below) : 1;
	}
	return count;
}

unsigned count_content(struct overlay_fixture *f, const char *folder)
{
	cleanup_free char *path = path_join(f->path, folder);
	return count_in(path);
}

bool find_row(struct overlay_fixture *f, const char *path, struct upper_dentry *ret,
	      struct upper_node *ret_node)
{
	const char *name;
	uint64_t dir = dir_of(f, path, &name);
	struct upper_reader *reader = upper_read(f->upper);
	int r = upper_find_dentry(reader, dir, name, strlen(name), ret, ret_node);
	upper_read_end(f->upper, reader);
	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

void damage_lower(struct overlay_fixture *f, const char *text)
{
	cleanup_buffer struct buffer bytes = BUFFER_INIT;
	assert_int_equal(file_read_to_end(f->lower->fd, 1 << 24, &bytes), 0);
	const uint8_t *at = memmem(bytes.data, bytes.size, text, strlen(text));
	assert_non_null(at);
	char changed = (char)(*at ^ 1);
	assert_int_equal(
	    file_pwrite_all(f->lower->fd, &changed, 1, (uint64_t)(at - bytes.data)), 0);
}
