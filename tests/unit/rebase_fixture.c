#include "tests/unit/rebase_fixture.h"

#include "cache/base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int rebase_setup(void **state)
{
	struct rebase_fixture *f = calloc(1, sizeof(*f));
	*state = f;
	if (!f)
		return -1;
	f->die_at = NO_STEP;
	f->o.caller = (struct caller){ .uid = 100, .gid = 200 };
	(void)snprintf(f->o.path, sizeof(f->o.path), "/tmp/venvfs-rebase-XXXXXX");
	return mkdtemp(f->o.path) ? 0 : -1;
}

static void drop_lower(struct fixture *lower)
{
	void *held = lower;
	if (lower)
		assert_int_equal(teardown(&held), 0);
}

int rebase_teardown(void **state)
{
	struct rebase_fixture *f = *state;
	stop(&f->o);
	drop_lower(f->o.lower);
	drop_lower(f->next);
	int r = file_remove_tree_at(AT_FDCWD, f->o.path);
	buffer_release(&f->conflicts);
	free(f);
	return r;
}

static void add_text(struct image_writer *w, const char *path, const char *text)
{
	const struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	assert_int_equal(image_writer_add_file(w, &item, text, strlen(text), false), 0);
}

/* "h1" and "h2" with `text`, one file when `linked`. */
static void add_linked(struct fixture *lower, uint32_t number, const char *text,
		       bool linked)
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	assert_int_equal(image_writer_new(NULL, &w), 0);
	add_text(w, "a", text);
	add_text(w, "h1", text);
	add_text(w, "h2", text);
	if (linked)
		assert_int_equal(image_writer_set_hard_link(w, "h1"), 0);
	add_image(lower, number, w);
}

static struct fixture *make_lower(struct rebase_fixture *f, const char *const items[])
{
	void *lower;
	assert_int_equal(setup(&lower), 0);
	struct fixture *made = lower;
	f->layer++;
	if (strcmp(items[0], "LINKED") == 0 || strcmp(items[0], "ALONE") == 0)
		add_linked(made, f->layer, items[1], *items[0] == 'L');
	else
		add_layer(made, f->layer, items);
	made->layers[0].folder = true;
	assert_int_equal(unite_folders(made, false), 0);
	return made;
}

void rebase_from(struct rebase_fixture *f, const char *const items[])
{
	f->o.lower = make_lower(f, items);
	start(&f->o);
}

static void append_conflict(void *context, const char *path)
{
	struct rebase_fixture *f = context;
	assert_int_equal(buffer_printf(&f->conflicts, "%s ", path), 0);
}

static void die(void *context, enum rebase_step step)
{
	const struct rebase_fixture *f = context;
	if ((int)step == f->die_at)
		(void)kill(getpid(), SIGKILL);
}

int rebase_to(struct rebase_fixture *f, const char *const items[])
{
	struct error err = ERROR_INIT;
	f->conflicts.size = 0;
	drop_lower(f->next);
	f->next = make_lower(f, items);
	restart(&f->o);
	const struct rebase_request request = { .upper = f->o.upper,
						.before = f->o.lower->tree,
						.after = f->next->tree,
						.base = "after\n",
						.base_size = 6,
						.conflict = append_conflict,
						.at = die,
						.context = f };
	int r = overlay_rebase(&request, &f->result, &err);
	stop(&f->o);
	if (r == 0) {
		drop_lower(f->o.lower);
		f->o.lower = steal_ptr(f->next);
	}
	start(&f->o);
	return r;
}

void assert_file(struct rebase_fixture *f, const char *path, const char *expected)
{
	enum { MOST = 100 };
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(MOST));
	struct image_bytes bytes;
	uint64_t node = node_of(&f->o, path);
	assert_int_equal(overlay_read(f->o.overlay, node, 0, MOST, scratch, &bytes), 0);
	if (bytes.size != strlen(expected) ||
	    memcmp(bytes.data, expected, bytes.size) != 0)
		fail_msg("%s holds '%.*s'", path, (int)bytes.size,
			 (const char *)bytes.data);
}

void write_file(struct rebase_fixture *f, const char *path, const char *text)
{
	assert_int_equal(set_size(&f->o, path, 0), 0);
	assert_int_equal(put_text(&f->o, node_of(&f->o, path), 0, text), strlen(text));
}

void assert_absent(struct rebase_fixture *f, const char *path)
{
	struct stat st;
	int r = look(&f->o, path, &st);
	if (r != -ENOENT)
		fail_msg("%s is there", path);
}

static int count_row(void *context, const struct upper_dentry *d,
		     const struct upper_node *n)
{
	(void)d;
	(void)n;
	++*(size_t *)context;
	return 0;
}

size_t count_rows(struct rebase_fixture *f)
{
	size_t count = 0;
	struct upper_reader *reader = upper_read_list(f->o.upper);
	assert_int_equal(upper_each(reader, count_row, &count), 0);
	upper_read_end(f->o.upper, reader);
	return count;
}

void assert_base(struct rebase_fixture *f, const char *expected)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_free char *path = path_join(f->o.path, "base");
	assert_int_equal(file_read_at(AT_FDCWD, path, 100, &text), 0);
	assert_string_equal(buffer_cstr(&text), expected);
}
