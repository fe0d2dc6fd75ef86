/* TOML as JSON, and what of it is refused. */
#include "tests/unit/testing.h"

#include "cache/toml/toml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void assert_read(const char *toml, const char *json)
{
	cleanup_json json_t *value = NULL;
	cleanup_buffer struct buffer out = BUFFER_INIT;
	struct error err = ERROR_INIT;
	int r = toml_parse(toml, strlen(toml), &value, &err);
	if (r < 0)
		fail_msg("%s: %s", toml, error_text(&err, r));
	assert_int_equal(json_print(value, false, &out), 0);
	assert_string_equal(buffer_cstr(&out), json);
}

static void assert_refused(const char *toml, const char *why)
{
	json_t *value = NULL;
	struct error err = ERROR_INIT;
	assert_int_equal(toml_parse(toml, strlen(toml), &value, &err), -EBADMSG);
	if (!strstr(err.text, why))
		fail_msg("%s: %s", toml, err.text);
}

static void every_type_has_its_place(void **state)
{
	(void)state;
	assert_read("", "{}");
	assert_read(
	    "a = 1\nb = 'x'\nc = true\nd = 1.5\ne = [1, 'y']\n[f.g]\nh = {i = 2}\n",
	    "{\"a\":1,\"b\":\"x\",\"c\":true,\"d\":1.5,\"e\":[1,\"y\"],"
	    "\"f\":{\"g\":{\"h\":{\"i\":2}}}}");
	assert_read("[[p]]\nn = 'a'\n[[p]]\nn = 'b'\n[[p.q]]\n",
		    "{\"p\":[{\"n\":\"a\"},{\"n\":\"b\",\"q\":[{}]}]}");
	assert_read("d = 2023-05-27T11:12:46Z\nt = 07:32:00\ni = inf\n",
		    "{\"d\":null,\"i\":null,\"t\":null}");
}

/* The letters that toml++ says are never asked about. */
static void text_beyond_ascii_is_text(void **state)
{
	(void)state;
	assert_read("a = \"\u00fcber\"", "{\"a\":\"\u00fcber\"}");
	assert_read("a = \"\"\"\\\n  \u00fcber\"\"\"", "{\"a\":\"\u00fcber\"}");
	assert_read("a = 1 # \u00fc\n# \u00fc", "{\"a\":1}");
	assert_read("\"\u00fc\" = 1", "{\"\u00fc\":1}");
	assert_refused("\u00fc = 1", "line 1");
	assert_refused("a = \u00fc", "line 1");
	assert_refused("a = 1 \u00fc", "line 1");
}

static void what_is_no_toml_is_refused(void **state)
{
	(void)state;
	assert_refused("a = ", "line 1");
	assert_refused("[=", "line 1");
	assert_refused("[", "line 1");
	assert_refused("a = 1\na = 2", "line 2");
	assert_refused("a = \"\xff\"", "line 1");
	assert_refused("a = \"\\u0000\"", "NUL");
	assert_refused("\"\\u0000\" = 1", "NUL");
}

static char *repeat(const char *text, size_t count)
{
	size_t size = strlen(text);
	char *out = malloc(size * count + 1);
	assert_non_null(out);
	for (size_t i = 0; i < count; i++)
		memcpy(out + i * size, text, size);
	out[size * count] = '\0';
	return out;
}

/* It would be taken apart by recursion. */
static void what_is_nested_without_end_is_refused(void **state)
{
	cleanup_free char *dots = repeat("a.", 1000000);
	cleanup_free char *brackets = repeat("[", 1000000);
	cleanup_buffer struct buffer text = BUFFER_INIT;
	(void)state;
	assert_refused(dots, "too many parts");
	assert_int_equal(buffer_printf(&text, "[%sa]", dots), 0);
	assert_refused(buffer_cstr(&text), "too many parts");
	text.size = 0;
	assert_int_equal(
	    buffer_printf(&text, "a = \"\"\"x\"\"\"\"\"\nb = '''''''\n%sa = 1", dots), 0);
	assert_refused(buffer_cstr(&text), "too many parts");
	text.size = 0;
	assert_int_equal(buffer_printf(&text, "a = %s", brackets), 0);
	assert_refused(buffer_cstr(&text), "nest");
	/* Dots in text are none of a key's. */
	text.size = 0;
	assert_int_equal(buffer_printf(&text, "a = '%s'\n# %s", dots, dots), 0);
	cleanup_json json_t *value = NULL;
	assert_int_equal(toml_parse(text.data, text.size, &value, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_its_place),
		cmocka_unit_test(text_beyond_ascii_is_text),
		cmocka_unit_test(what_is_no_toml_is_refused),
		cmocka_unit_test(what_is_nested_without_end_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
