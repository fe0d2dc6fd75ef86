/* The parts of cache/source that need no server. */
#include "tests/unit/testing.h"

#include "cache/source/check.h"
#include "cache/source/ini.h"
#include "cache/source/url.h"
#include "cache/source/uv_settings.h"
#include "cache/source/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void assert_shown(const char *url, const char *expected)
{
	cleanup_free char *shown = url_shown(url);
	assert_string_equal(shown, expected);
}

static void secrets_of_a_url_are_not_shown(void **state)
{
	(void)state;
	assert_shown("https://me:pass@host:8/a/b?token=x#y", "https://host:8/a/b");
	assert_shown("https://me:p@ss@host/a@b", "https://host/a@b");
	assert_shown("https://host", "https://host");
	assert_shown("https://me:pass@host?x", "https://host");
	assert_shown("https://token@", "https://");
	assert_shown("no url?token", "no url");
	assert_shown("https://me:a/b@host/x", "https://host/x");
	assert_shown("https://me:a#b@host/x", "https://host/x");
	assert_shown("https://me:1#b@host/x", "https://host/x");
	assert_shown("https://me:?@host", "https://host");
	assert_shown("me:a@host/x", "host/x");
	assert_shown("git@host:x", "git@host:x");
	assert_shown("https://host:80/a@b.whl", "https://host:80/a@b.whl");
	assert_shown("https://[::1]:80/a@b", "https://[::1]:80/a@b");
}

static void secrets_in_a_text_are_not_shown(void **state)
{
	static const char *const pairs[][2] = {
		{ "a @ https://me:x@host/a?t=1#y ; os_name",
		  "a @ https://host/a ; os_name" },
		{ "-i https://t@a/x --hash=y", "-i https://a/x --hash=y" },
		{ "--index-url=git+ssh://me:x@h/'s", "--index-url=git+ssh://h/'s" },
		{ "https://a:b@c https://d:e@f", "https://c https://f" },
		{ "a==1 # ?b", "a==1 # ?b" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		cleanup_free char *shown = text_shown(pairs[i][0]);
		assert_string_equal(shown, pairs[i][1]);
	}
}

static void urls_have_paths_in_common(void **state)
{
	(void)state;
	assert_int_equal(url_common_path("http://a/b/c/d", "http://x/b/c/e?f"), 2);
	assert_int_equal(url_common_path("http://a/bc", "http://a/b"), 0);
	assert_int_equal(url_common_path("http://a", "http://a/b"), 0);
	assert_true(url_same_place("http://u:p@a/b/", "HTTP://A:80/b?c"));
	assert_false(url_same_place("http://a/b/c", "http://a/b"));
	assert_false(url_same_place("http://a/b", "https://a/b"));
}

static void a_realm_is_scheme_host_and_port(void **state)
{
	(void)state;
	assert_true(url_same_realm("https://a@Host/x", "https://b:c@host:443/y"));
	assert_true(url_same_realm("http://host:80", "http://host/y?z"));
	assert_false(url_same_realm("https://host", "http://host"));
	assert_false(url_same_realm("https://host:8", "https://host"));
	assert_false(url_same_realm("https://host", "https://host.example"));
	assert_false(url_same_realm("https://host@evil", "https://host"));
}

static void a_login_is_decoded(void **state)
{
	(void)state;
	char *user = NULL;
	char *password = NULL;
	assert_true(url_login("https://me%40home:a%3ab%2g@host/", &user, &password));
	assert_string_equal(user, "me@home");
	assert_string_equal(password, "a:b%2g");
	free(user);
	free(password);
	assert_false(url_login("https://host/a@b", &user, &password));
	assert_false(url_login("https://me%00:x@host", &user, &password));
}

static void a_file_name_is_the_last_component(void **state)
{
	static const struct {
		const char *url, *name;
	} cases[] = {
		{ "https://host/a/demo%2B1.whl?x#y", "demo+1.whl" },
		{ "../demo.whl", "demo.whl" },
		{ "demo.whl#sha256=1", "demo.whl" },
		{ "https://host", NULL },
		{ "https://host/a/", NULL },
		{ "https://host/..", NULL },
		{ "https://host/a%2Fb", NULL },
		{ "https://host/a%0Ab", NULL },
		{ "https://host/a%00", NULL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cleanup_free char *name = url_file_name(cases[i].url);
		if (cases[i].name)
			assert_string_equal(name, cases[i].name);
		else
			assert_null(name);
	}
}

static void only_files_of_this_machine_have_a_path(void **state)
{
	(void)state;
	cleanup_free char *here = url_file_path("file:///a%20b/c");
	cleanup_free char *local = url_file_path("file://localhost/a");
	assert_string_equal(here, "/a b/c");
	assert_string_equal(local, "/a");
	assert_null(url_file_path("file://server/a"));
	assert_null(url_file_path("file://loc/a"));
	assert_null(url_file_path("https://host/a"));
}

static void a_hash_is_split_off(void **state)
{
	(void)state;
	struct sha256 sha256;
	char *url = NULL;
	bool has;
	char text[200] = "https://h/a#egg=x&sha256=";
	memset(text + strlen(text), 'A', 64);
	assert_int_equal(url_split_hash(text, &url, &has, &sha256), 0);
	assert_true(has);
	assert_int_equal(sha256.bytes[31], 0xaa);
	assert_string_equal(url, "https://h/a");
	free(url);
	assert_int_equal(url_split_hash("https://h/a#md5=1", &url, &has, &sha256), 0);
	assert_false(has);
	free(url);
	assert_int_equal(url_split_hash("https://h/a#sha256=12", &url, &has, &sha256),
			 -EINVAL);
}

static void pips_name_of_a_url_has_no_login_and_no_fragment(void **state)
{
	(void)state;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	assert_int_equal(url_append_normal(&text, "HTTPS://me:x@Host/A?B#c"), 0);
	assert_string_equal(buffer_cstr(&text), "https://host/A?B");
	text.size = 0;
	assert_int_equal(url_append_normal(&text, "http://host"), 0);
	assert_string_equal(buffer_cstr(&text), "http://host/");
}

static int collect(void *context, const char *section, const char *key, const char *value)
{
	return buffer_printf(context, "%s|%s|%s;", section, key, value);
}

static void assert_ini(const char *text, const char *expected)
{
	cleanup_buffer struct buffer got = BUFFER_INIT;
	assert_int_equal(ini_parse(text, strlen(text), collect, &got, NULL), 0);
	assert_string_equal(buffer_cstr(&got), expected);
}

static void ini_is_what_configparser_reads(void **state)
{
	(void)state;
	assert_ini("\xef\xbb\xbf[a]\nKey_One = v ; no comment\nb:c=d\n",
		   "a|key-one|v ; no comment;a|b|c=d;");
	assert_ini("[a]\nlist =\n  x\n\n  # no\n\ty\n[b]\n k = v\r\n",
		   "a|list|\nx\ny;b|k|v;");
	assert_ini("# nothing\n; nothing\n", "");
	assert_ini("[a]\nempty =\n", "a|empty|;");
}

static void what_is_no_ini_is_refused(void **state)
{
	static const char *const texts[] = { "key = value\n", "[a\n", "[a]\nword\n",
					     "[a]\n= value\n" };
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		cleanup_buffer struct buffer got = BUFFER_INIT;
		assert_int_equal(
		    ini_parse(texts[i], strlen(texts[i]), collect, &got, NULL), -EBADMSG);
	}
}

static void numbers_of_settings_may_have_a_fraction(void **state)
{
	(void)state;
	assert_int_equal(word_number("12", 3), 12);
	assert_int_equal(word_number("7.5", 3), 7);
	assert_int_equal(word_number("x", 3), 3);
	assert_int_equal(word_number("-1", 3), 3);
	assert_int_equal(word_number("99999999999999999999", 3), 3);
	assert_int_equal(word_number(NULL, 3), 3);
}

static void bytes_must_have_each_hash_that_is_known(void **state)
{
	(void)state;
	char blake[] = "blake2b";
	char sha512[] = "sha512";
	char right[SHA512_HEX_SIZE];
	struct sha256 got;
	struct wanted_hash others[] = { { blake, blake }, { sha512, right } };
	struct wanted_bytes wanted = { .size = 3, .others = others, .other_count = 2 };
	CLEANUP(sha512_stream_freep) struct sha512_stream *s = sha512_stream_new(sha512);
	CLEANUP(check_freep) struct check *check = NULL;
	sha512_stream_add(s, "abc", 3);
	sha512_stream_end(s, right);
	assert_memory_equal(right, "ddaf35a193617aba", 16);
	const struct expected expected = { .all = &wanted };
	assert_int_equal(check_new(&expected, &check, NULL), 0);
	check_add(check, "abc", 3);
	assert_int_equal(check_end(check, &got, NULL), 0);
	check_add(check, "abd", 3);
	assert_int_equal(check_end(check, &got, NULL), -EBADMSG);
	check_add(check, "ab", 2);
	assert_int_equal(check_end(check, &got, NULL), -EBADMSG);
	wanted.other_count = 1;
	check_free(check);
	check = NULL;
	assert_int_equal(check_new(&expected, &check, NULL), -EOPNOTSUPP);
}

static void what_the_environment_says_stands_before_what_files_say(void **state)
{
	(void)state;
	char url[] = "https://file.example/simple";
	struct uv_index index = { .url = url, .is_default = true };
	CLEANUP(uv_settings_release) struct uv_settings s = { .indexes = NULL };
	assert_int_equal(uv_settings_add_index(&s, &index), 0);
	setenv("UV_INDEX", "a-b=https://one.example https://two.example/?x=y", 1);
	setenv("UV_DEFAULT_INDEX", "https://three.example", 1);
	setenv("UV_CACHE_DIR", "/cache", 1);
	assert_int_equal(uv_settings_add_environment(&s), 0);
	assert_int_equal(s.index_count, 4);
	assert_string_equal(s.indexes[0].name, "a-b");
	assert_string_equal(s.indexes[0].url, "https://one.example");
	assert_null(s.indexes[1].name);
	assert_string_equal(s.indexes[1].url, "https://two.example/?x=y");
	assert_true(s.indexes[2].is_default);
	assert_string_equal(s.indexes[3].url, url);
	assert_string_equal(s.cache_dir, "/cache");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_of_a_url_are_not_shown),
		cmocka_unit_test(secrets_in_a_text_are_not_shown),
		cmocka_unit_test(urls_have_paths_in_common),
		cmocka_unit_test(a_realm_is_scheme_host_and_port),
		cmocka_unit_test(a_login_is_decoded),
		cmocka_unit_test(a_file_name_is_the_last_component),
		cmocka_unit_test(only_files_of_this_machine_have_a_path),
		cmocka_unit_test(a_hash_is_split_off),
		cmocka_unit_test(pips_name_of_a_url_has_no_login_and_no_fragment),
		cmocka_unit_test(ini_is_what_configparser_reads),
		cmocka_unit_test(what_is_no_ini_is_refused),
		cmocka_unit_test(numbers_of_settings_may_have_a_fraction),
		cmocka_unit_test(bytes_must_have_each_hash_that_is_known),
		cmocka_unit_test(what_the_environment_says_stands_before_what_files_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
