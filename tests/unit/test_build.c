/* What decides whether something is built again, and what the tools are told. */
#include "tests/unit/testing.h"

#include "cache/base/file.h"
#include "cache/base/run.h"
#include "cache/build/record.h"
#include "cache/build/stamp.h"
#include "cache/build/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/venvfs-build-XXXXXX";

static int make_folder(void **state)
{
	static const char fresh[] = "/tmp/venvfs-build-XXXXXX";
	(void)state;
	memcpy(folder, fresh, sizeof(fresh));
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return file_remove_tree_at(AT_FDCWD, folder);
}

static void put(const char *name, const char *text)
{
	cleanup_free char *path = path_join(folder, name);
	char *slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(file_make_dirs(path, 0700), 0);
	*slash = '/';
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
}

static struct digest take(const json_t *keys)
{
	struct digest stamp;
	assert_int_equal(stamp_take(folder, keys, &stamp), 0);
	return stamp;
}

/* Does writing that file change the stamp? */
static bool counts(const json_t *keys, const char *name)
{
	static int written;
	char text[16];
	struct digest before = take(keys);
	written++;
	(void)snprintf(text, sizeof(text), "%0*d", 1 + written % 9, written);
	put(name, text);
	struct digest after = take(keys);
	return !digest_equal(&before, &after);
}

static void by_default_uv_s_files_count(void **state)
{
	cleanup_json json_t *keys = NULL;
	(void)state;
	assert_int_equal(stamp_keys(folder, &keys), 0);
	assert_true(counts(keys, "pyproject.toml"));
	assert_true(counts(keys, "setup.py"));
	assert_true(counts(keys, "setup.cfg"));
	assert_true(counts(keys, "setup.cfg"));
	assert_false(counts(keys, "README"));
	/* A folder counts when it is made, whatever is in it. */
	assert_true(counts(keys, "src/a.py"));
	assert_false(counts(keys, "src/b.py"));
	assert_false(counts(keys, "src/a.py"));
}

static void what_the_project_names_counts(void **state)
{
	cleanup_json json_t *keys = NULL;
	(void)state;
	put("pyproject.toml", "[tool.uv]\n"
			      "cache-keys = [{ file = 'data/**/*.txt' }, 'one.?', "
			      "{ dir = 'made' }, { env = 'VENVFS_TEST_KEY' }]\n");
	assert_int_equal(stamp_keys(folder, &keys), 0);
	assert_true(counts(keys, "data/a.txt"));
	assert_true(counts(keys, "data/deep/down/a.txt"));
	assert_false(counts(keys, "data/deep/down/a.py"));
	assert_true(counts(keys, "one.c"));
	assert_false(counts(keys, "one.cc"));
	assert_false(counts(keys, "setup.py"));
	assert_true(counts(keys, "made/x"));
	assert_false(counts(keys, "made/x"));
	/* Itself always does: the keys stand there. */
	assert_true(counts(keys, "pyproject.toml"));
	/* No environments, which may lie anywhere in a project. */
	put("data/.venv/pyvenv.cfg", "");
	assert_false(counts(keys, "data/.venv/b.txt"));
	struct digest before = take(keys);
	assert_int_equal(setenv("VENVFS_TEST_KEY", "x", 1), 0);
	struct digest after = take(keys);
	assert_false(digest_equal(&before, &after));
	assert_int_equal(unsetenv("VENVFS_TEST_KEY"), 0);
}

static void what_is_not_known_is_never_fresh(void **state)
{
	static const char *const unknown[] = { "[{\"file\":\"{a,b}\"}]",
					       "[{\"other\":1}]", "[1]", "[{\"git\":3}]",
					       "{}" };
	struct digest stamp;
	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		cleanup_json json_t *keys = json_loads(unknown[i], 0, NULL);
		assert_non_null(keys);
		assert_int_equal(stamp_take(folder, keys, &stamp), -EINVAL);
	}
	assert_int_equal(stamp_take(folder, NULL, &stamp), -EINVAL);
}

static void a_commit_and_a_tag_count(void **state)
{
	cleanup_json json_t *keys =
	    json_pack("[{s{sb sb}}]", "git", "commit", 1, "tags", 1);
	cleanup_json json_t *commit = json_pack("[{sb}]", "git", 1);
	(void)state;
	put("pyproject.toml", "");
	assert_true(counts(keys, ".git/HEAD"));
	put(".git/HEAD", "ref: refs/heads/main\n");
	assert_true(counts(keys, ".git/refs/heads/main"));
	assert_true(counts(commit, ".git/refs/heads/main"));
	assert_true(counts(commit, ".git/packed-refs"));
	assert_false(counts(commit, ".git/refs/tags/v1"));
	assert_true(counts(keys, ".git/refs/tags/v2"));
	assert_false(counts(keys, ".git/index"));
	/* A worktree, whose refs are the repository's. */
	put("tree/.git", "gitdir: ../.git/worktrees/tree\n");
	put(".git/worktrees/tree/HEAD", "ref: refs/heads/other\n");
	put(".git/worktrees/tree/commondir", "../..\n");
	cleanup_free char *tree = path_join(folder, "tree");
	struct digest before;
	struct digest after;
	assert_int_equal(stamp_take(tree, commit, &before), 0);
	put(".git/refs/heads/other", "abc\n");
	assert_int_equal(stamp_take(tree, commit, &after), 0);
	assert_false(digest_equal(&before, &after));
}

static void a_record_comes_back_as_it_was(void **state)
{
	struct build_record record = { .folder = folder,
				       .notes = { .uv_cache = (char[]){ "{}" } } };
	struct build_record found;
	(void)state;
	assert_int_equal(stamp_keys(folder, &record.keys), 0);
	record.stamp = take(record.keys);
	memset(&record.wheel, 7, sizeof(record.wheel));
	cleanup_json json_t *json = build_record_to_json(&record);
	assert_non_null(json);
	assert_int_equal(build_record_from_json(json, &found), 0);
	assert_memory_equal(&found.wheel, &record.wheel, sizeof(found.wheel));
	assert_string_equal(found.folder, folder);
	assert_string_equal(found.notes.uv_cache, "{}");
	assert_null(found.notes.direct_url);
	assert_true(build_record_is_fresh(&found));
	put("setup.py", "");
	assert_false(build_record_is_fresh(&found));
	build_record_release(&found);
	json_decref(record.keys);
	cleanup_json json_t *wrong = json_pack("{ss}", "wheel", "x");
	assert_int_equal(build_record_from_json(wrong, &found), -EBADMSG);
	assert_int_equal(build_record_from_json(NULL, &found), -EBADMSG);
}

static struct interpreter python = { .executable = (char[]){ "/bin/false" },
				     .pip_wheels = (char[]){ "" },
				     .name = (char[]){ "cpython" },
				     .cache_tag = (char[]){ "cpython-311" },
				     .soabi = (char[]){ "" },
				     .machine = (char[]){ "x86_64" },
				     .libc = (char[]){ "glibc" },
				     .libc_version = (char[]){ "2.36" },
				     .major = 3,
				     .minor = 11 };

static void an_archive_is_what_it_is_wherever_it_lies(void **state)
{
	struct wanted_source a = { .kind = WANTED_SDIST,
				   .name = (char[]){ "a" },
				   .path_or_url = (char[]){ "/x/a.tar.gz" } };
	struct wanted_source b = a;
	struct sha256 sha256 = { { 1 } };
	struct digest first;
	struct digest second;
	(void)state;
	b.path_or_url = (char[]){ "https://host.example/a.tar.gz" };
	assert_int_equal(build_key(&a, NULL, &python, &first), -EINVAL);
	assert_int_equal(build_key(&a, &sha256, &python, &first), 0);
	assert_int_equal(build_key(&b, &sha256, &python, &second), 0);
	assert_true(digest_equal(&first, &second));
	python.minor = 12;
	assert_int_equal(build_key(&b, &sha256, &python, &second), 0);
	assert_false(digest_equal(&first, &second));
	python.minor = 11;
	sha256.bytes[0] = 2;
	assert_int_equal(build_key(&b, &sha256, &python, &second), 0);
	assert_false(digest_equal(&first, &second));
	b.kind = WANTED_DIRECTORY;
	assert_int_equal(build_key(&b, NULL, &python, &first), 0);
	b.editable = true;
	assert_int_equal(build_key(&b, NULL, &python, &second), 0);
	assert_false(digest_equal(&first, &second));
}

static void without_a_tool_both_are_named(void **state)
{
	struct tool tool = { .path = NULL };
	struct error err = ERROR_INIT;
	cleanup_free char *path = strdup(getenv("PATH"));
	(void)state;
	assert_int_equal(setenv("PATH", folder, 1), 0);
	assert_int_equal(setenv("HOME", folder, 1), 0);
	assert_int_equal(tool_find(&python, &tool, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no uv in PATH"));
	assert_non_null(strstr(err.text, "'/bin/false' has no pip"));
	assert_non_null(strstr(err.text, "--no-build"));
	/* Where uv's installer puts it: sudo's PATH does not have that. */
	put(".local/bin/uv", "");
	cleanup_free char *uv = path_join(folder, ".local/bin/uv");
	assert_int_equal(tool_find(&python, &tool, NULL), -ENOENT); /* no program */
	assert_int_equal(chmod(uv, 0700), 0);
	assert_int_equal(tool_find(&python, &tool, NULL), 0);
	assert_true(tool.is_uv);
	assert_string_equal(tool.path, uv);
	tool_release(&tool);
	assert_int_equal(setenv("PATH", path, 1), 0);
}

static bool says(const struct words_of *words, const char *const *wanted)
{
	for (size_t i = 0; i < words->count; i++) {
		size_t k = 0;
		while (wanted[k] && i + k < words->count &&
		       strcmp(words->items[i + k], wanted[k]) == 0)
			k++;
		if (!wanted[k])
			return true;
	}
	return false;
}

static void tools_are_told_the_settings(void **state)
{
	const char *const extra[] = { "http://127.0.0.1/more" };
	const char *const links[] = { "/links" };
	const struct tool_settings settings = { .index_url = "http://127.0.0.1/index",
						.extra_urls = extra,
						.extra_count = 1,
						.find_links = links,
						.find_count = 1,
						.offline = true };
	const struct tool_task task = { .interpreter = &python,
					.settings = &settings,
					.source = "x @ git+https://me:secret@host/x@1",
					.shown = "x @ git+https://host/x@1",
					.prefix = "/prefix" };
	const char *const index[] = { "--index-url", "http://127.0.0.1/index", NULL };
	const char *const more[] = { "--extra-index-url", "http://127.0.0.1/more", NULL };
	const char *const find[] = { "--find-links", "/links", NULL };
	const char *const prefix[] = { "--prefix", "/prefix", NULL };
	const char *const offline[] = { "--offline", NULL };
	const char *const no_index[] = { "--no-index", NULL };
	struct tool tool = { .is_uv = true, .path = (char[]){ "/opt/uv" } };
	(void)state;
	for (int uv = 1; uv >= 0; uv--) {
		CLEANUP(words_of_release) struct words_of words = { .items = NULL };
		cleanup_free char *shown = NULL;
		tool.is_uv = uv;
		assert_int_equal(tool_spell(&tool, &task, &words, &shown), 0);
		assert_true(says(&words, index) && says(&words, more));
		assert_true(says(&words, find) && says(&words, prefix));
		assert_int_equal(says(&words, offline), uv);
		assert_int_equal(says(&words, no_index), !uv);
		assert_string_equal(words.items[words.count - 1], task.source);
		assert_null(words.items[words.count]);
		assert_null(strstr(shown, "secret"));
	}
}

/* -- programs that may take long, and are stopped ------------------------------------ */

static int run(const char *script, int stop_fd, size_t limit, struct buffer *said)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct run run = { .argv = argv,
				 .limit = limit,
				 .both = true,
				 .tail = true,
				 .folder = folder,
				 .stop_fd = stop_fd };
	return run_program(&run, said);
}

static void both_outputs_are_heard_and_the_end_is_kept(void **state)
{
	cleanup_buffer struct buffer said = BUFFER_INIT;
	(void)state;
	assert_int_equal(run("pwd; echo error >&2; exit 3", 0, 4096, &said), 3);
	assert_non_null(strstr(buffer_cstr(&said), folder));
	assert_non_null(strstr(buffer_cstr(&said), "error"));
	said.size = 0;
	assert_int_equal(run("yes | head -c 100000; echo; echo the end", 0, 4096, &said),
			 0);
	assert_true(said.size <= 4096);
	assert_non_null(strstr(buffer_cstr(&said), "the end\n"));
	/* What it leaves running is not waited for. */
	said.size = 0;
	assert_int_equal(run("sleep 60 & echo $!", 0, 4096, &said), 0);
	int left = atoi(buffer_cstr(&said));
	assert_true(left > 1);
	assert_int_equal(kill(left, SIGKILL), 0);
}

static void what_is_stopped_ends_with_all_that_it_started(void **state)
{
	cleanup_buffer struct buffer said = BUFFER_INIT;
	int ends[2];
	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(run("sleep 60 & echo $!; wait", ends[0], 4096, &said), -EINTR);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

int main(void)
{
#define WITH_FOLDER(test) \
	cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(by_default_uv_s_files_count),
		WITH_FOLDER(what_the_project_names_counts),
		WITH_FOLDER(what_is_not_known_is_never_fresh),
		WITH_FOLDER(a_commit_and_a_tag_count),
		WITH_FOLDER(a_record_comes_back_as_it_was),
		cmocka_unit_test(an_archive_is_what_it_is_wherever_it_lies),
		WITH_FOLDER(without_a_tool_both_are_named),
		cmocka_unit_test(tools_are_told_the_settings),
		WITH_FOLDER(both_outputs_are_heard_and_the_end_is_kept),
		WITH_FOLDER(what_is_stopped_ends_with_all_that_it_started),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
