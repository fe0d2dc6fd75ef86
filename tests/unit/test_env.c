/* Launchers, quoting and tags; tests/fuse/test_venv.py has whole environments. */
#include "tests/unit/testing.h"

#include "cache/env/launcher.h"
#include "cache/env/quote.h"
#include "cache/env/tags.h"

#include <stdio.h>
#include <string.h>

static void assert_shebang(const char *python, const char *expected)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	assert_int_equal(launcher_shebang(&text, python), 0);
	assert_string_equal(buffer_cstr(&text), expected);
}

static void a_short_path_is_a_plain_first_line(void **state)
{
	(void)state;
	assert_shebang("/a/.venv/bin/python", "#!/a/.venv/bin/python\n");
}

static void a_path_that_the_kernel_would_split_or_cut_goes_through_sh(void **state)
{
	char path[200] = "/";
	char expected[300];
	(void)state;
	assert_shebang("/a b/bin/python", "#!/bin/sh\n'''exec' '/a b/bin/python' \"$0\" "
					  "\"$@\"\n' '''\n");
	memset(path + 1, 'x', 124);
	path[125] = '\0'; /* "#!", the path and the line break: 128 bytes */
	(void)snprintf(expected, sizeof(expected), "#!%s\n", path);
	cleanup_buffer struct buffer text = BUFFER_INIT;
	assert_int_equal(launcher_shebang(&text, path), 0);
	size_t kept = text.size;
	memset(path + 1, 'x', 150);
	path[151] = '\0';
	assert_int_equal(launcher_shebang(&text, path), 0);
	assert_int_equal(memcmp(text.data + kept, "#!/bin/sh\n", 10), 0);
}

static void assert_quoted(enum quoting quoting, const char *text, const char *expected)
{
	cleanup_buffer struct buffer out = BUFFER_INIT;
	assert_int_equal(quote_append(&out, quoting, text), 0);
	assert_string_equal(buffer_cstr(&out), expected);
}

static void text_is_a_literal_of_its_language(void **state)
{
	(void)state;
	assert_quoted(QUOTE_SH, "a'b$c", "'a'\"'\"'b$c'");
	assert_quoted(QUOTE_CSH, "a'b!c", "'a'\"'\"'b\\!c'");
	assert_quoted(QUOTE_FISH, "a'b\\c", "'a\\'b\\\\c'");
	assert_quoted(QUOTE_NU, "a\"b\\c", "\"a\\\"b\\\\c\"");
	assert_quoted(QUOTE_POWERSHELL, "a'b$c", "'a''b$c'");
	assert_quoted(QUOTE_PYTHON, "a\"b\\c\n", "\"a\\\"b\\\\c\\x0a\"");
}

static struct interpreter cpython(int minor)
{
	static char executable[] = "/usr/bin/python3";
	static char implementation[] = "CPython";
	static char name[] = "cpython";
	static char machine[] = "x86_64";
	static char libc[] = "glibc";
	static char libc_version[] = "2.36";
	static char empty[] = "";
	return (struct interpreter){ .executable = executable,
				     .implementation = implementation,
				     .name = name,
				     .machine = machine,
				     .libc = libc,
				     .libc_version = libc_version,
				     .soabi = empty,
				     .cache_tag = empty,
				     .major = 3,
				     .minor = minor,
				     .pointer_bits = 64 };
}

/* What packaging.tags.sys_tags() gives for CPython 3.11 on x86_64 with glibc 2.36. */
static void tags_fit_as_packaging_has_them(void **state)
{
	static const struct {
		const char *tag;
		bool fits;
	} tags[] = {
		{ "py3-none-any", true },
		{ "py2.py3-none-any", true },
		{ "py311-none-any", true },
		{ "py36-none-any", true },
		{ "py312-none-any", false },
		{ "py2-none-any", false },
		{ "cp311-none-any", true },
		{ "cp310-none-any", false },
		{ "cp311-cp311-linux_x86_64", true },
		{ "cp311-cp311-manylinux_2_17_x86_64", true },
		{ "cp311-cp311-manylinux_2_36_x86_64", true },
		{ "cp311-cp311-manylinux_2_37_x86_64", false },
		{ "cp311-cp311-manylinux_2_17_aarch64", false },
		{ "cp311-cp311-manylinux2014_x86_64", true },
		{ "cp311-cp311-manylinux1_x86_64", true },
		{ "cp311-cp311-manylinux2010_x86_64", true },
		{ "cp311-cp311-musllinux_1_1_x86_64", false },
		{ "cp311-cp311t-linux_x86_64", false },
		{ "cp312-cp312-linux_x86_64", false },
		{ "cp310-cp310-linux_x86_64", false },
		{ "cp38-abi3-manylinux_2_17_x86_64", true },
		{ "cp311-abi3-linux_x86_64", true },
		{ "cp312-abi3-linux_x86_64", false },
		{ "py3-none-linux_x86_64", true },
		{ "py3-none-manylinux_2_5_x86_64", true },
		{ "py3-none-win_amd64", false },
		{ "py3-none-macosx_11_0_arm64", false },
		{ "pp39-pypy39_pp73-linux_x86_64", false },
		{ "cp311-cp311-manylinux_99999999999_1_x86_64", false },
		{ "", false },
		{ "py3", false },
		{ "py3-none", false },
	};
	const struct interpreter p = cpython(11);
	(void)state;
	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
		if (tag_fits(&p, tags[i].tag) != tags[i].fits)
			fail_msg("%s", tags[i].tag);
	}
}

static void a_free_threaded_python_takes_no_abi3(void **state)
{
	struct interpreter p = cpython(13);
	(void)state;
	p.free_threaded = true;
	assert_true(tag_fits(&p, "cp313-cp313t-linux_x86_64"));
	assert_false(tag_fits(&p, "cp313-cp313-linux_x86_64"));
	assert_false(tag_fits(&p, "cp311-abi3-linux_x86_64"));
	assert_true(tag_fits(&p, "py3-none-any"));
}

static void a_debug_build_also_takes_what_is_built_for_release(void **state)
{
	struct interpreter p = cpython(11);
	(void)state;
	assert_false(tag_fits(&p, "cp311-cp311d-linux_x86_64"));
	p.debug = true;
	assert_true(tag_fits(&p, "cp311-cp311d-linux_x86_64"));
	assert_true(tag_fits(&p, "cp311-cp311-linux_x86_64"));
	assert_false(tag_fits(&p, "cp311-cp311t-linux_x86_64"));
	p = cpython(7);
	assert_true(tag_fits(&p, "cp37-cp37m-linux_x86_64"));
	assert_false(tag_fits(&p, "cp37-cp37-linux_x86_64"));
	p.debug = true;
	assert_true(tag_fits(&p, "cp37-cp37dm-linux_x86_64"));
	assert_false(tag_fits(&p, "cp37-cp37m-linux_x86_64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_short_path_is_a_plain_first_line),
		cmocka_unit_test(
		    a_path_that_the_kernel_would_split_or_cut_goes_through_sh),
		cmocka_unit_test(text_is_a_literal_of_its_language),
		cmocka_unit_test(tags_fit_as_packaging_has_them),
		cmocka_unit_test(a_free_threaded_python_takes_no_abi3),
		cmocka_unit_test(a_debug_build_also_takes_what_is_built_for_release),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
