/* What rows remember of the lower. */
#include "tests/unit/overlay_fixture.h"

#include <errno.h>
#include <string.h>

static void a_change_of_a_lower_node_pins_its_name(void **state)
{
	struct overlay_fixture *f = *state;
	const struct stat want = { .st_mode = 0600 };
	const struct digest one = digest_of("one", 3);
	struct upper_dentry d;
	struct upper_node n;
	struct stat st;
	uint64_t node = node_of(f, "d/one");
	assert_int_equal(overlay_set(f->overlay, &f->caller, node, SET_MODE, &want, &st),
			 0);
	assert_true(find_row(f, "d/one", &d, &n));
	assert_true(d.pin && d.has_base);
	assert_int_equal(d.node, node);
	assert_memory_equal(&d.base, &one, sizeof(one));
	assert_true(d.cookie < COOKIE_UPPER);
	/* A change of a name changes its directory, which is pinned too, without base. */
	assert_int_equal(make(f, "d/sub/new", S_IFREG, NULL), 0);
	assert_true(find_row(f, "d/sub", &d, &n));
	assert_true(d.pin && !d.has_base);
	assert_true(find_row(f, "d/sub/new", &d, &n));
	assert_false(d.pin || d.has_base);
	assert_true(d.cookie > COOKIE_UPPER);
	assert_false(find_row(f, "d", &d, &n));
	assert_false(find_row(f, "d/two", &d, &n));
}

static void a_name_over_a_lower_one_remembers_what_it_covers(void **state)
{
	struct overlay_fixture *f = *state;
	const struct digest one = digest_of("one", 3);
	const struct digest two = digest_of("two", 3);
	const struct digest link = digest_of("d/one", 5);
	struct upper_dentry d;
	struct upper_node n;
	assert_int_equal(drop(f, "d/one", false), 0);
	assert_true(find_row(f, "d/one", &d, &n));
	assert_int_equal(d.node, 0);
	assert_false(d.pin);
	assert_true(d.has_base);
	assert_memory_equal(&d.base, &one, sizeof(one));
	(void)make_text(f, "d/one", "anew");
	assert_true(find_row(f, "d/one", &d, &n));
	assert_true(d.has_base && (d.node & NODE_UPPER) && d.cookie < COOKIE_UPPER);
	assert_memory_equal(&d.base, &one, sizeof(one));
	assert_int_equal(move(f, "d/one", "d/two", 0), 0);
	assert_true(find_row(f, "d/two", &d, &n));
	assert_memory_equal(&d.base, &two, sizeof(two));
	assert_int_equal(move(f, "link", "moved", 0), 0);
	assert_true(find_row(f, "link", &d, &n));
	assert_memory_equal(&d.base, &link, sizeof(link));
	assert_true(find_row(f, "moved", &d, &n));
	assert_false(d.pin || d.has_base);
}

static struct digest digest_of_child(const char *name, enum entry_type type,
				     struct digest content)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	const uint8_t byte = (uint8_t)type;
	assert_int_equal(buffer_append(&text, name, strlen(name) + 1), 0);
	assert_int_equal(buffer_append(&text, &byte, 1), 0);
	assert_int_equal(buffer_append(&text, &content, sizeof(content)), 0);
	return digest_of(text.data, text.size);
}

static void nothing_remembers_what_was_in_a_directory(void **state)
{
	struct overlay_fixture *f = *state;
	const struct digest none = { { 0 } };
	struct digest sub = digest_of_child("x", ENTRY_FILE, digest_of("x", 1));
	struct upper_dentry d;
	struct upper_node n;
	assert_int_equal(drop(f, "empty", true), 0);
	assert_true(find_row(f, "empty", &d, &n));
	assert_true(d.node == 0 && d.has_base);
	assert_memory_equal(&d.base, &none, sizeof(none));
	/* What was changed in it is not what the lower has; it had been pinned. */
	assert_int_equal(drop(f, "d/sub/x", false), 0);
	assert_int_equal(drop(f, "d/sub", true), 0);
	assert_true(find_row(f, "d/sub", &d, &n));
	assert_true(d.node == 0 && d.has_base);
	assert_memory_equal(&d.base, &sub, sizeof(sub));
	assert_int_equal(make(f, "d/sub", S_IFDIR | 0755, NULL), 0);
	assert_true(find_row(f, "d/sub", &d, &n));
	assert_true(d.node != 0 && d.has_base);
	/* Not of what lives on under another name. */
	assert_int_equal(move(f, "d", "moved", 0), 0);
	assert_true(find_row(f, "d", &d, &n));
	assert_false(d.node != 0 || d.has_base);
}

static void a_new_name_that_goes_again_leaves_no_row(void **state)
{
	struct overlay_fixture *f = *state;
	struct upper_dentry d;
	struct upper_node n;
	(void)make_text(f, "d/new", "text");
	assert_int_equal(move(f, "d/new", "d/newer", 0), 0);
	assert_false(find_row(f, "d/new", &d, &n));
	assert_int_equal(drop(f, "d/newer", false), 0);
	assert_false(find_row(f, "d/newer", &d, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVERLAY_TEST(a_change_of_a_lower_node_pins_its_name),
		OVERLAY_TEST(a_name_over_a_lower_one_remembers_what_it_covers),
		OVERLAY_TEST(nothing_remembers_what_was_in_a_directory),
		OVERLAY_TEST(a_new_name_that_goes_again_leaves_no_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
