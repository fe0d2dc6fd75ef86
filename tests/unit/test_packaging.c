/* Versions, markers, requirements and tags, as the `packaging` project judged them. */
#include "tests/unit/testing.h"

#include "cache/base/file.h"
#include "tests/lock/vectors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a requirement only whether it is one stands there: test_vectors.py compares it. */
static bool is_right(const char *question, const char *expected, const char *answer)
{
	if (strncmp(question, "requirement", strlen("requirement")) == 0)
		return (strcmp(expected, "-") == 0) == (strcmp(answer, "-") == 0);
	return strcmp(expected, answer) == 0;
}

static void ask(struct vectors *vectors, char *line)
{
	cleanup_buffer struct buffer out = BUFFER_INIT;
	char *expected = strstr(line, "\t=\t");
	assert_non_null(expected);
	*expected = '\0';
	cleanup_free char *question = strdup(line);
	vectors_answer(vectors, line, &out);
	const char *answer = buffer_cstr(&out);
	if (!question || !is_right(question, expected + 3, answer))
		fail_msg("%s: '%s', not '%s'", question, expected + 3, answer);
}

static void answers_are_those_of_packaging(void **state)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	struct vectors vectors = { .interpreter.name = NULL };
	size_t count = 0;
	(void)state;
	assert_int_equal(file_read_at(AT_FDCWD, VECTORS, 1 << 24, &text), 0);
	assert_non_null(buffer_cstr(&text));
	char *rest = (char *)text.data;
	for (char *line; (line = strsep(&rest, "\n")) != NULL && *line; count++)
		ask(&vectors, line);
	assert_true(count > 1000);
}

static void what_is_too_large_is_no_version(void **state)
{
	struct vectors vectors = { .interpreter.name = NULL };
	char lines[][64] = {
		"version\t9223372036854775808", "version\t1.99999999999999999999",
		"version\t1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5"
	};
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		cleanup_buffer struct buffer out = BUFFER_INIT;
		vectors_answer(&vectors, lines[i], &out);
		assert_string_equal(buffer_cstr(&out), "-");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_those_of_packaging),
		cmocka_unit_test(what_is_too_large_is_no_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
