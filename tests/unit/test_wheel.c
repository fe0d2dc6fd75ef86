/* The parsers of cache/wheel on text; tests/cache/test_wheels.py has whole wheels. */
#include "tests/unit/testing.h"

#include "cache/wheel/entry_points.h"
#include "cache/wheel/record.h"
#include "cache/wheel/wheel_name.h"

#include <errno.h>
#include <string.h>

static int parse_record(const char *text, struct record *ret)
{
	return record_parse(text, strlen(text), ret, NULL);
}

static void record_rows_are_found_by_path(void **state)
{
	struct record record;
	(void)state;
	assert_int_equal(
	    parse_record("b.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
			 "\"a,\"\"b\"\".py\",,\r\n"
			 "/c.py,,",
			 &record),
	    0);
	assert_int_equal(record.count, 3);
	const struct record_row *row = record_find(&record, "b.py");
	assert_true(row && row->has_hash && row->has_size && row->size == 0);
	assert_non_null(record_find(&record, "a,\"b\".py"));
	assert_non_null(record_find(&record, "c.py"));
	assert_null(record_find(&record, "d.py"));
	record_release(&record);
}

static void a_record_that_is_none_is_refused(void **state)
{
	static const char *const texts[] = {
		"a.py\n",
		"a.py,\n",
		"a.py,,,\n",
		"\"a.py,,\n",
		"../a.py,,\n",
		"a/../b,,\n",
		"a//b,,\n",
		"./a,,\n",
		"a,,\na,,\n",
		"a,sha256=x,\n",
		"a,,x\n",
		"a,,-1\n",
		"a,,99999999999999999999999\n",
		"\"a\"b,,\n",
		",,\n",
	};
	struct record record;
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_int_equal(parse_record(texts[i], &record), -EBADMSG);
}

static int parse_points(const char *text, struct entry_points *ret)
{
	return entry_points_parse(text, strlen(text), ret, NULL);
}

static void entry_points_are_found_by_name(void **state)
{
	struct entry_points p;
	(void)state;
	assert_int_equal(
	    parse_points("[console_scripts]\nb=m:f\nab=m:f\na=m:f\nabc=m:f\n", &p), 0);
	assert_string_equal(p.items[0].name, "b");
	assert_true(entry_points_have(&p, "abcd", 1));
	assert_true(entry_points_have(&p, "abcd", 2));
	assert_true(entry_points_have(&p, "abcd", 3));
	assert_false(entry_points_have(&p, "abcd", 4));
	assert_true(entry_points_have(&p, "b", 1));
	assert_false(entry_points_have(&p, "", 0));
	entry_points_release(&p);
	assert_int_equal(
	    parse_points("[console_scripts]\na=m:f\nb=m:f\n[gui_scripts]\na=m:g\n", &p),
	    -EBADMSG);
}

static void entry_points_are_read_as_setuptools_writes_them(void **state)
{
	struct entry_points p;
	(void)state;
	assert_int_equal(parse_points("# comment\n[console_scripts]\n"
				      "pip3.11 = pip._internal.cli.main:main\n"
				      "tool=a.b:c.d [extra1, extra2]\n\n"
				      "[gui_scripts]\ngui = a:b\n[other.group]\nx = y\n",
				      &p),
			 0);
	assert_int_equal(p.count, 3);
	size_t gui = 0;
	for (size_t i = 0; i < p.count; i++) {
		gui += p.items[i].is_gui;
		if (strcmp(p.items[i].name, "tool") == 0) {
			assert_string_equal(p.items[i].module, "a.b");
			assert_string_equal(p.items[i].function, "c.d");
		}
	}
	assert_int_equal(gui, 1);
	entry_points_release(&p);
}

static void entry_points_that_could_do_harm_are_refused(void **state)
{
	static const char *const lines[] = {
		"../x = a:b",  "a/b = a:b",    ".. = a:b",         ". = a:b",
		" = a:b",      "python = a:b", "PYTHON3 = a:b",    "python3.99 = a:b",
		"pypy3 = a:b", "x = a",        "x = :b",           "x = a:",
		"x = a b:c",   "x = a:b;c",    "x = a:b\nx = c:d",
	};
	struct entry_points p;
	char text[100];
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		(void)snprintf(text, sizeof(text), "[console_scripts]\n%s\n", lines[i]);
		assert_int_equal(parse_points(text, &p), -EBADMSG);
	}
}

static void a_file_name_has_five_parts_or_six(void **state)
{
	struct wheel_name name;
	(void)state;
	assert_int_equal(wheel_name_parse("a_b-1.0-py3-none-any.whl", &name, NULL), 0);
	assert_string_equal(name.distribution, "a_b");
	assert_string_equal(name.build, "");
	assert_int_equal(
	    wheel_name_parse("a-1-2x-cp39.cp310-abi3-linux_x86_64.whl", &name, NULL), 0);
	assert_string_equal(name.build, "2x");
	assert_string_equal(name.python, "cp39.cp310");
	assert_string_equal(name.platform, "linux_x86_64");
	assert_int_equal(wheel_name_parse("a-1-py3-none.whl", &name, NULL), -EBADMSG);
	assert_int_equal(wheel_name_parse("a--py3-none-any.whl", &name, NULL), -EBADMSG);
	assert_int_equal(wheel_name_parse("a-1-x-py3-none-any.whl", &name, NULL),
			 -EBADMSG);
	assert_int_equal(wheel_name_parse("a-1-py3-none-any.zip", &name, NULL), -EBADMSG);
}

static void names_are_the_same_as_PEP_503_has_it(void **state)
{
	(void)state;
	assert_true(same_name("Foo.Bar__baz", "foo-bar-baz"));
	assert_true(same_name("foo-._-bar", "foo_bar"));
	assert_false(same_name("foobar", "foo-bar"));
}

static void a_pin_takes_what_PEP_440_equals_means(void **state)
{
	static const struct {
		const char *pin, *version;
		bool takes;
	} pairs[] = {
		{ "1.0", "1.0.0+local", true }, { "1.0+a", "1.0", false },
		{ "1.0+a", "1.0.0+A", true },   { "1.0+a", "1.0+b", false },
		{ "1.0", "1.0.post1", false },  { "no.version", "no-version", true },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		assert_int_equal(pin_takes(pairs[i].pin, pairs[i].version),
				 pairs[i].takes);
}

static void versions_are_the_same_as_PEP_440_has_it(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} pairs[] = {
		{ "1.0", "1.0", true },
		{ "1.0", "1.0.0", true },
		{ "1.0", "1", true },
		{ "1.0", "1.1", false },
		{ "1.0a1", "1.0.alpha-1", true },
		{ "1.0-1", "1.0.post1", true },
		{ "1.0.post1", "1.0", false },
		{ "1.0RC1", "1.0c1", true },
		{ "1.0", "1.0+local", true },
		{ "1.0+a", "1.0+b", false },
		{ "01.0", "1.0", true },
		{ "1!1.0", "1.0", false },
		{ "1.10", "1.1", false },
		{ "v1.0", "1.0", true },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		if (same_version(pairs[i].a, pairs[i].b) != pairs[i].same)
			fail_msg("%s and %s", pairs[i].a, pairs[i].b);
	}
}

static void headers_are_found_in_any_case_and_end_at_an_empty_line(void **state)
{
	static const char text[] = "Name: demo\r\ntag: a\nTag:  b\n\nName: body\n";
	size_t size = sizeof(text) - 1;
	char value[8];
	(void)state;
	assert_true(header_value(text, size, "Name", 0, value, sizeof(value)));
	assert_string_equal(value, "demo");
	assert_true(header_value(text, size, "Tag", 1, value, sizeof(value)));
	assert_string_equal(value, "b");
	assert_false(header_value(text, size, "Name", 1, value, sizeof(value)));
	assert_false(header_value(text, size, "Name", 0, value, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_rows_are_found_by_path),
		cmocka_unit_test(a_record_that_is_none_is_refused),
		cmocka_unit_test(entry_points_are_read_as_setuptools_writes_them),
		cmocka_unit_test(entry_points_that_could_do_harm_are_refused),
		cmocka_unit_test(a_file_name_has_five_parts_or_six),
		cmocka_unit_test(names_are_the_same_as_PEP_503_has_it),
		cmocka_unit_test(entry_points_are_found_by_name),
		cmocka_unit_test(versions_are_the_same_as_PEP_440_has_it),
		cmocka_unit_test(a_pin_takes_what_PEP_440_equals_means),
		cmocka_unit_test(headers_are_found_in_any_case_and_end_at_an_empty_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
