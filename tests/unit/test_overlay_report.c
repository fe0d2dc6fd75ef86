/* What is reported as changed, listings, read-only. */
#include "tests/unit/overlay_fixture.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int append_change(void *context, const struct overlay_change *change)
{
	assert_true(change->change > 0);
	return buffer_printf(context, "%s %s%s\n", change_kind_name(change->kind),
			     change->path, change->stamp ? " stamped" : "");
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* As sorted lines. */
static void assert_changes(struct overlay_fixture *f, const char *expected)
{
	enum { MOST = 20 };
	char *lines[MOST];
	size_t count = 0;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_buffer struct buffer sorted = BUFFER_INIT;
	assert_int_equal(overlay_changes(f->overlay, NULL, append_change, &text), 0);
	char *rest = (char *)(text.size ? buffer_cstr(&text) ? text.data : NULL : NULL);
	while (rest && *rest && count < MOST)
		lines[count++] = strsep(&rest, "\n");
	qsort(lines, count, sizeof(*lines), compare_lines);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(buffer_printf(&sorted, "%s\n", lines[i]), 0);
	assert_string_equal(buffer_cstr(&sorted), expected);
}

static void changes_are_told_by_kind_and_path(void **state)
{
	struct overlay_fixture *f = *state;
	const struct stat want = { .st_mode = 0600 };
	struct stat st;
	assert_changes(f, "");
	(void)make_text(f, "d/new", "text");
	assert_int_equal(make(f, "n", S_IFDIR | 0755, NULL), 0);
	assert_int_equal(put_text(f, node_of(f, "d/one"), 0, "O"), 1);
	assert_int_equal(
	    overlay_set(f->overlay, &f->caller, node_of(f, "big"), SET_MODE, &want, &st),
	    0);
	assert_int_equal(drop(f, "d/two", false), 0);
	assert_int_equal(move(f, "file", "n/moved", 0), 0);
	for (int i = 0; i < 2; i++) {
		assert_changes(f, "added d/new stamped\n"
				  "added n\n"
				  "attributes big\n"
				  "changed d/one stamped\n"
				  "moved n/moved\n"
				  "removed d/two\n"
				  "removed file\n");
		restart(f);
	}
}

static void changes_below_what_was_moved_have_the_new_path(void **state)
{
	struct overlay_fixture *f = *state;
	(void)make_text(f, "d/sub/new", "text");
	assert_int_equal(drop(f, "d/sub/x", false), 0);
	assert_int_equal(make(f, "n", S_IFDIR | 0755, NULL), 0);
	assert_int_equal(move(f, "d", "n/moved", 0), 0);
	assert_changes(f, "added n\n"
			  "added n/moved/sub/new stamped\n"
			  "moved n/moved\n"
			  "removed d\n"
			  "removed n/moved/sub/x\n");
	/* In another's place. */
	assert_int_equal(move(f, "empty", "d", 0), 0);
	(void)make_text(f, "file2", "text");
	assert_int_equal(move(f, "file2", "file", 0), 0);
	assert_changes(f, "added n\n"
			  "added n/moved/sub/new stamped\n"
			  "changed file stamped\n"
			  "moved d\n"
			  "moved n/moved\n"
			  "removed empty\n"
			  "removed n/moved/sub/x\n");
}

static void what_is_not_shown_is_not_told(void **state)
{
	struct overlay_fixture *f = *state;
	assert_int_equal(put_text(f, node_of(f, "d/sub/x"), 0, "y"), 1);
	assert_int_equal(overlay_remember(f->overlay, node_of(f, "d/sub")), 0);
	assert_int_equal(drop(f, "d/sub/x", false), 0);
	assert_int_equal(drop(f, "d/sub", true), 0);
	assert_changes(f, "removed d/sub\n");
}

struct step {
	uint64_t cookie;
	struct stat st;
	char name[32];
};

static int measure_change(void *context, const struct overlay_change *change)
{
	size_t *longest = context;
	if (strlen(change->path) > *longest)
		*longest = strlen(change->path);
	return 0;
}

static void a_change_may_lie_as_deep_as_it_likes(void **state)
{
	enum { DEEP = 6000 };
	struct overlay_fixture *f = *state;
	const struct overlay_new what = { .mode = S_IFDIR | 0755 };
	struct stat st = see(f, "d/sub");
	size_t longest = 0;
	for (int i = 0; i < DEEP; i++) {
		assert_int_equal(
		    overlay_make(f->overlay, &f->caller, st.st_ino, "n", &what, &st), 0);
		overlay_release(f->overlay);
	}
	assert_int_equal(overlay_changes(f->overlay, NULL, measure_change, &longest), 0);
	assert_int_equal(longest, strlen("d/sub") + 2 * DEEP);
	assert_int_equal(overlay_rename(f->overlay, &f->caller,
					&(struct overlay_rename){ .from_dir = TREE_ROOT,
								  .to_dir = st.st_ino,
								  .from = "d",
								  .to = "n" }),
			 -EINVAL);
}

/* One change a page; what was told of is gone by then. */
static int take_change(void *context, const struct overlay_change *change)
{
	struct step *s = context;
	if (s->cookie)
		return 1;
	s->cookie = change->place.dir;
	(void)snprintf(s->name, sizeof(s->name), "%.*s", (int)change->place.name_size,
		       change->place.name);
	return 0;
}

static void a_report_goes_on_where_it_was_while_changes_come_and_go(void **state)
{
	struct overlay_fixture *f = *state;
	cleanup_buffer struct buffer names = BUFFER_INIT;
	struct step s = { .cookie = 0 };
	struct overlay_place after;
	const char *const made[] = { "b", "c", "e", "g", "i" };
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		(void)make_text(f, made[i], "text");
	int r;
	do {
		after = (struct overlay_place){ s.cookie, s.name, strlen(s.name) };
		struct step next = { .cookie = 0 };
		r = overlay_changes(f->overlay, s.cookie ? &after : NULL, take_change,
				    &next);
		s = next;
		assert_int_equal(buffer_printf(&names, "%s ", s.name), 0);
		if (strcmp(s.name, "c") == 0) {
			assert_int_equal(drop(f, "c", false), 0);
			assert_int_equal(drop(f, "b", false), 0);
			(void)make_text(f, "a", "text");
			assert_int_equal(move(f, "g", "h", 0), 0);
		}
	} while (r == 1);
	assert_int_equal(r, 0);
	assert_string_equal(buffer_cstr(&names), "b c e h i ");
}

static void a_change_counter_goes_up(void **state)
{
	struct overlay_fixture *f = *state;
	struct upper_dentry before;
	struct upper_dentry after;
	struct upper_node n;
	struct upper_node again;
	assert_int_equal(set_xattr(f, "file", "user.a", "1"), 0);
	assert_true(find_row(f, "file", &before, &n));
	assert_int_equal(set_xattr(f, "file", "user.a", "2"), 0);
	restart(f);
	assert_true(find_row(f, "file", &after, &again));
	assert_true(again.change > n.change);
	assert_int_equal(after.change, before.change);
}

static int take_one(void *context, const struct overlay_child *child)
{
	struct step *s = context;
	s->cookie = child->cookie;
	s->st = child->st;
	(void)snprintf(s->name, sizeof(s->name), "%.*s", (int)child->name_size,
		       child->name);
	return 1;
}

/* One name at a time, `edit` in between. */
static void list_slowly(struct overlay_fixture *f, const char *path,
			void (*edit)(struct overlay_fixture *f, int i),
			const char *expected)
{
	cleanup_buffer struct buffer names = BUFFER_INIT;
	struct step s = { .cookie = 0 };
	uint64_t dir = node_of(f, path);
	int r;
	for (int i = 0;
	     (r = overlay_list(f->overlay, dir, s.cookie, true, take_one, &s)) == 1;
	     i++) {
		assert_int_equal(buffer_printf(&names, "%s ", s.name), 0);
		edit(f, i);
	}
	assert_int_equal(r, 0);
	assert_string_equal(buffer_cstr(&names), expected);
}

static void edit(struct overlay_fixture *f, int i)
{
	if (i == 0) {
		/* A lower name covered, and one behind it removed. */
		assert_int_equal(drop(f, "d/h2", false), 0);
		assert_int_equal(drop(f, "d/sub/x", false), 0);
		assert_int_equal(drop(f, "d/sub", true), 0);
		(void)make_text(f, "d/n0", "0");
		(void)make_text(f, "d/n1", "1");
	} else if (i == 1) {
		/* One that was listed comes back in its old place, unseen. */
		(void)make_text(f, "d/h2", "again");
		(void)make_text(f, "d/n2", "2");
		assert_int_equal(move(f, "d/n0", "d/n3", 0), 0);
	} else if (i == 3) {
		assert_int_equal(drop(f, "d/n1", false), 0);
		(void)make_text(f, "d/n1", "1");
		assert_int_equal(move(f, "d/n2", "d/two", RENAME_EXCHANGE), 0);
	}
	restart(f);
}

static void leave(struct overlay_fixture *f, int i)
{
	(void)f;
	(void)i;
}

static void a_listing_goes_on_where_it_was_while_names_come_and_go(void **state)
{
	struct overlay_fixture *f = *state;
	list_slowly(f, "d", edit, "h2 one two n1 n2 n3 n1 ");
	list_slowly(f, "d", leave, "h2 one two n2 n3 n1 ");
}

static void a_listing_tells_what_stat_tells(void **state)
{
	struct overlay_fixture *f = *state;
	struct step s = { .cookie = 0 };
	(void)make_text(f, "d/new", "text");
	assert_int_equal(put_text(f, node_of(f, "d/one"), 0, "longer"), 6);
	assert_int_equal(put_text(f, node_of(f, "h1"), 0, "longer still"), 12);
	while (overlay_list(f->overlay, node_of(f, "d"), s.cookie, true, take_one, &s) ==
	       1) {
		char path[64];
		(void)snprintf(path, sizeof(path), "d/%s", s.name);
		struct stat st = see(f, path);
		assert_memory_equal(&s.st, &st, sizeof(st));
	}
	assert_string_equal(s.name, "new");
}

/* Though the directory itself has no rows: of two hard links the other was changed. */
static void a_listing_tells_what_became_of_a_hard_link(void **state)
{
	struct overlay_fixture *f = *state;
	struct step s = { .cookie = 0 };
	bool found = false;
	assert_int_equal(put_text(f, node_of(f, "h1"), 0, "longer still"), 12);
	assert_false(upper_may_have(f->upper, node_of(f, "d")));
	while (!found && overlay_list(f->overlay, node_of(f, "d"), s.cookie, true,
				      take_one, &s) == 1)
		found = strcmp(s.name, "h2") == 0;
	assert_true(found);
	struct stat st = see(f, "h1");
	assert_int_equal(st.st_size, 12);
	assert_memory_equal(&s.st, &st, sizeof(st));
}

static bool last_is(struct upper *u, uint64_t unique, struct upper_record *ret)
{
	return upper_last_record(u, ret) && ret->unique == unique;
}

static void a_request_that_comes_again_finds_its_result(void **state)
{
	struct overlay_fixture *f = *state;
	struct upper_record record;
	f->caller.unique = 7;
	assert_int_equal(make(f, "d/new", S_IFREG | 0644, NULL), 0);
	uint64_t node = node_of(f, "d/new");
	assert_true(last_is(f->upper, 7, &record));
	assert_int_equal(record.result, 0);
	assert_int_equal(record.node, node);
	f->caller.unique = 9;
	assert_int_equal(drop(f, "d/new", false), 0);
	assert_false(last_is(f->upper, 7, &record));
	assert_true(last_is(f->upper, 9, &record));
	/* What failed was not done, and is done again. */
	f->caller.unique = 11;
	assert_int_equal(drop(f, "d/new", false), -ENOENT);
	assert_false(last_is(f->upper, 11, &record));
}

static void a_read_only_overlay_changes_nothing(void **state)
{
	struct overlay_fixture *f = *state;
	const struct stat want = { .st_mode = 0600, .st_size = 1 };
	struct statvfs room;
	struct stat st;
	overlay_free(f->overlay);
	const struct overlay_options options = { .tree = f->lower->tree };
	assert_int_equal(overlay_new(&options, &f->overlay), 0);
	uint64_t node = node_of(f, "file");
	assert_int_equal(make(f, "new", S_IFREG, NULL), -EROFS);
	assert_int_equal(drop(f, "file", false), -EROFS);
	assert_int_equal(drop(f, "empty", true), -EROFS);
	assert_int_equal(move(f, "file", "new", 0), -EROFS);
	assert_int_equal(join(f, node, "new"), -EROFS);
	assert_int_equal(set_xattr(f, "file", "user.a", "1"), -EROFS);
	assert_int_equal(put_text(f, node, 0, "x"), -EROFS);
	assert_int_equal(overlay_set(f->overlay, &f->caller, node, SET_MODE, &want, &st),
			 -EROFS);
	assert_int_equal(overlay_set(f->overlay, &f->caller, node, SET_SIZE, &want, &st),
			 -EROFS);
	assert_int_equal(overlay_allocate(f->overlay, &f->caller, node, 0, 0, 5), -EROFS);
	assert_int_equal(overlay_make_nameless(f->overlay, &f->caller, 1, 0600, &st),
			 -EROFS);
	assert_text(f, node, "0123456789");
	assert_xattr(f, "file", "user.k", "v");
	assert_names(f, "", "big d empty fifo file h1 link ");
	assert_changes(f, "");
	assert_int_equal(overlay_remember(f->overlay, node), 0);
	overlay_forget(f->overlay, node, 1, NULL);
	assert_int_equal(overlay_sync(f->overlay, node, true), 0);
	assert_int_equal(overlay_statfs(f->overlay, &room), 0);
	assert_int_equal(room.f_blocks, 0);
}

/* The same rows over a plan that has other layers. */
static void change_plan(struct overlay_fixture *f)
{
	stop(f);
	f->lower->layers[0].number = 2;
	assert_int_equal(unite_folders(f->lower, false), 0);
	start(f);
}

static void a_row_whose_layer_is_gone_has_no_content(void **state)
{
	struct overlay_fixture *f = *state;
	enum { MOST = 100 };
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(MOST));
	cleanup_buffer struct buffer target = BUFFER_INIT;
	struct image_bytes bytes;
	assert_int_equal(move(f, "file", "moved", 0), 0);
	assert_int_equal(move(f, "link", "link2", 0), 0);
	change_plan(f);
	assert_int_equal(see(f, "moved").st_size, 10);
	uint64_t node = node_of(f, "moved");
	/* Not empty: that would be believed, and copied. */
	assert_int_equal(overlay_read(f->overlay, node, 0, MOST, scratch, &bytes), -EIO);
	assert_int_equal(put_text(f, node, 0, "x"), -EIO);
	assert_int_equal(overlay_readlink(f->overlay, node_of(f, "link2"), &target),
			 -EIO);
	assert_int_equal(drop(f, "moved", false), 0);
	assert_int_equal(drop(f, "link2", false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVERLAY_TEST(changes_are_told_by_kind_and_path),
		OVERLAY_TEST(changes_below_what_was_moved_have_the_new_path),
		OVERLAY_TEST(what_is_not_shown_is_not_told),
		OVERLAY_TEST(a_change_may_lie_as_deep_as_it_likes),
		OVERLAY_TEST(a_report_goes_on_where_it_was_while_changes_come_and_go),
		OVERLAY_TEST(a_change_counter_goes_up),
		OVERLAY_TEST(a_listing_goes_on_where_it_was_while_names_come_and_go),
		OVERLAY_TEST(a_listing_tells_what_stat_tells),
		OVERLAY_TEST(a_listing_tells_what_became_of_a_hard_link),
		OVERLAY_TEST(a_request_that_comes_again_finds_its_result),
		OVERLAY_TEST(a_read_only_overlay_changes_nothing),
		OVERLAY_TEST(a_row_whose_layer_is_gone_has_no_content),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
