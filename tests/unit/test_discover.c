/* What people write for a Python; tests/fuse/test_discover.py has whole searches. */
#include "tests/unit/testing.h"

#include "cache/env/discover_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void every_form_of_a_version_is_understood(void **state)
{
	static const struct {
		const char *text, *implementation;
		int count, major, minor, patch;
		const char *pre;
		enum request_threads threads;
	} forms[] = {
		{ "3", "", 1, 3, 0, 0, "", THREADS_UNSAID },
		{ "3.12", "", 2, 3, 12, 0, "", THREADS_UNSAID },
		{ "312", "", 2, 3, 12, 0, "", THREADS_UNSAID },
		{ "3.12.4", "", 3, 3, 12, 4, "", THREADS_UNSAID },
		{ "3.13t", "", 2, 3, 13, 0, "", THREADS_FREE },
		{ "3.13+freethreaded", "", 2, 3, 13, 0, "", THREADS_FREE },
		{ "3.14+gil", "", 2, 3, 14, 0, "", THREADS_GIL },
		{ "3.14rc1", "", 2, 3, 14, 0, "rc1", THREADS_UNSAID },
		{ "3.14.0b2", "", 3, 3, 14, 0, "b2", THREADS_UNSAID },
		{ "python3.12", "", 2, 3, 12, 0, "", THREADS_UNSAID },
		{ "Python@3.12", "", 2, 3, 12, 0, "", THREADS_UNSAID },
		{ "cpython3.12", "cpython", 2, 3, 12, 0, "", THREADS_UNSAID },
		{ "cp312", "cpython", 2, 3, 12, 0, "", THREADS_UNSAID },
		{ "pypy", "pypy", 0, 0, 0, 0, "", THREADS_UNSAID },
		{ "pypy@3.10", "pypy", 2, 3, 10, 0, "", THREADS_UNSAID },
		{ "pp310", "pypy", 2, 3, 10, 0, "", THREADS_UNSAID },
		{ "graalpy-3.11", "graalpy", 2, 3, 11, 0, "", THREADS_UNSAID },
		{ "cpython-3.13.1-linux-x86_64-gnu", "cpython", 3, 3, 13, 1, "",
		  THREADS_UNSAID },
		{ "cpython-3.13.1+freethreaded-linux-x86_64-gnu", "cpython", 3, 3, 13, 1,
		  "", THREADS_FREE },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		struct python_request r = request_parse(forms[i].text);
		if (r.kind != REQUEST_VERSION || r.count != forms[i].count ||
		    strcmp(r.implementation, forms[i].implementation) != 0 ||
		    r.numbers[0] != forms[i].major || r.numbers[1] != forms[i].minor ||
		    r.numbers[2] != forms[i].patch || strcmp(r.pre, forms[i].pre) != 0 ||
		    r.threads != forms[i].threads)
			fail_msg("%s", forms[i].text);
	}
}

static void what_is_no_version_is_a_range_a_path_or_a_name(void **state)
{
	static const struct {
		const char *text;
		enum request_kind kind;
	} forms[] = {
		{ "any", REQUEST_ANY },
		{ ">=3.12,<3.14", REQUEST_RANGE },
		{ "~=3.11", REQUEST_RANGE },
		{ "pypy>=3.10", REQUEST_RANGE },
		{ "/usr/bin/python3", REQUEST_PATH },
		{ "./python", REQUEST_PATH },
		{ "python", REQUEST_NAME },
		{ "my-python", REQUEST_NAME },
		{ "python3.x", REQUEST_NAME },
		{ "3.1.2.3", REQUEST_NAME },
		{ "3.", REQUEST_NAME },
		{ "3rc1", REQUEST_NAME },
		{ "99999999999999999999", REQUEST_NAME },
		{ "", REQUEST_NAME },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		if (request_parse(forms[i].text).kind != forms[i].kind)
			fail_msg("%s", forms[i].text);
	}
}

static void a_version_fits_what_it_begins_with(void **state)
{
	static const struct {
		const char *asked, *found;
		int fits;
	} cases[] = {
		{ "3", "3.11.7", 1 },
		{ "3.11", "3.11.7", 1 },
		{ "3.11.7", "3.11.7", 1 },
		{ "3.1", "3.11.7", 0 },
		{ "3.11.6", "3.11.7", 0 },
		{ "2", "3.11.7", 0 },
		{ "3.14", "3.14.0rc1", 1 },
		{ "3.14.0", "3.14.0rc1", 0 },
		{ "3.14rc1", "3.14.0rc1", 1 },
		{ "3.14rc1", "3.14.0rc2", 0 },
		{ "3.14rc1", "3.14.0", 0 },
		{ "3.14", "3.14.0b1+", 1 },
		{ ">=3.12,<3.14", "3.13.0", 1 },
		{ ">=3.12", "3.11.7", 0 },
		{ ">=nonsense", "3.11.7", -EINVAL },
		{ "pypy", "3.11.7", 0 },
		{ "cpython", "3.11.7", 1 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct python_request r = request_parse(cases[i].asked);
		if (request_fits_version(&r, "cpython", cases[i].found) != cases[i].fits)
			fail_msg("%s %s", cases[i].asked, cases[i].found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_version_is_understood),
		cmocka_unit_test(what_is_no_version_is_a_range_a_path_or_a_name),
		cmocka_unit_test(a_version_fits_what_it_begins_with),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
