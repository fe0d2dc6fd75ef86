#include "cache/build/tool.h"

#include "cache/base/file.h"
#include "cache/base/run.h"
#include "cache/env/seed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void tool_release(struct tool *tool)
{
	free(tool->path);
	free(tool->pip);
	*tool = (struct tool){ .path = NULL };
}

void words_of_release(struct words_of *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->items[i]);
	free(words->items);
	*words = (struct words_of){ .items = NULL };
}

int words_of_add(struct words_of *words, const char *word)
{
	char **more = reallocarray(words->items, words->count + 2, sizeof(*more));
	if (!more)
		return -ENOMEM;
	words->items = more;
	more[words->count] = strdup(word);
	more[words->count + 1] = NULL;
	return more[words->count] ? (words->count++, 0) : -ENOMEM;
}

static char *program_in(const char *folder, size_t size, const char *name)
{
	cleanup_free char *copy = strndup(folder, size);
	cleanup_free char *path = copy ? path_join(copy, name) : NULL;
	struct stat st;
	return path && path[0] == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		       access(path, X_OK) == 0
		   ? steal_ptr(path)
		   : NULL;
}

/* Where its installer puts it counts too: sudo's PATH does not have it. */
static char *find_uv(void)
{
	const char *at = getenv("PATH");
	const char *home = getenv("HOME");
	while (at && *at) {
		size_t size = strcspn(at, ":");
		char *found = program_in(at, size, "uv");
		if (found)
			return found;
		at += size + (at[size] == ':');
	}
	return home ? program_in(home, strlen(home), ".local/bin/uv") : NULL;
}

static bool has_pip(const struct interpreter *interpreter)
{
	cleanup_buffer struct buffer said = BUFFER_INIT;
	const char *const argv[] = { interpreter->executable, "-c",
				     "import importlib.util as u, sys; "
				     "sys.exit(u.find_spec('pip') is None)",
				     NULL };
	const struct run run = { .argv = argv, .seconds = 30, .limit = 1 << 16 };
	return run_program(&run, &said) == 0;
}

/* A wheel of pip is run as the folder in it. */
static int find_bundled(const struct interpreter *interpreter, char **ret)
{
	cleanup_free char *wheel = NULL;
	int r = seed_find_pip(interpreter, &wheel, NULL);
	if (r < 0)
		return r;
	*ret = path_join(wheel, "pip");
	return *ret ? 0 : -ENOMEM;
}

int tool_find(const struct interpreter *interpreter, struct tool *ret,
	      struct error *reterr)
{
	CLEANUP(tool_release) struct tool tool = { .path = find_uv() };
	tool.is_uv = tool.path != NULL;
	if (!tool.is_uv)
		tool.path = strdup(interpreter->executable);
	if (!tool.path)
		return -ENOMEM;
	if (!tool.is_uv && !has_pip(interpreter) &&
	    find_bundled(interpreter, &tool.pip) < 0)
		return error_set(reterr, -ENOENT,
				 "there is no uv in PATH, and '%s' has no pip; install "
				 "one of them, or leave out what is to be built with "
				 "--no-build",
				 interpreter->executable);
	*ret = tool;
	tool = (struct tool){ .path = NULL };
	return 0;
}

/* "uv", or "/usr/bin/python3 -m pip". */
static int add_program(struct words_of *to, const struct tool *tool)
{
	if (tool->is_uv)
		return words_of_add(to, tool->path);
	int r = words_of_add(to, tool->path);
	if (r == 0 && tool->pip)
		return words_of_add(to, tool->pip);
	if (r == 0)
		r = words_of_add(to, "-m");
	return r == 0 ? words_of_add(to, "pip") : r;
}

static int add_words(struct words_of *to, const char *const *words)
{
	int r = 0;
	for (; r == 0 && *words; words++)
		r = words_of_add(to, *words);
	return r;
}

static int add_pair(struct words_of *to, const char *option, const char *value)
{
	int r = value ? words_of_add(to, option) : 0;
	return r == 0 && value ? words_of_add(to, value) : r;
}

/* Both have the same words for it. */
static int add_settings(struct words_of *to, const struct tool *tool,
			const struct tool_settings *s)
{
	int r = add_pair(to, "--index-url", s->index_url);
	for (size_t i = 0; r == 0 && i < s->extra_count; i++)
		r = add_pair(to, "--extra-index-url", s->extra_urls[i]);
	for (size_t i = 0; r == 0 && i < s->find_count; i++)
		r = add_pair(to, "--find-links", s->find_links[i]);
	if (r == 0 && (s->no_index || (s->offline && !tool->is_uv)))
		r = words_of_add(to, "--no-index");
	return r == 0 && s->offline && tool->is_uv ? words_of_add(to, "--offline") : r;
}

static int add_source(struct words_of *to, const struct tool_task *task)
{
	int r = task->editable ? words_of_add(to, "--editable") : 0;
	return r == 0 ? words_of_add(to, task->source) : r;
}

static int spell_shown(const struct tool *tool, const struct tool_task *task,
		       char **ret_shown)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = tool->is_uv ? buffer_append_text(&text, "uv pip install")
			    : buffer_printf(&text, "%s -m pip install", tool->path);
	if (r == 0)
		r = buffer_printf(&text, " --no-deps%s %s",
				  task->editable ? " --editable" : "", task->shown);
	if (r < 0 || !buffer_cstr(&text))
		return -ENOMEM;
	*ret_shown = buffer_steal(&text);
	return 0;
}

int tool_spell(const struct tool *tool, const struct tool_task *task,
	       struct words_of *ret, char **ret_shown)
{
	static const char *const of_uv[] = { "pip", "install", "--no-deps", NULL };
	static const char *const of_pip[] = { "install", "--no-deps", "--no-compile",
					      /* A setup.py alone, too: what pip did for
						 those before leaves no dist-info. */
					      "--use-pep517", "--ignore-installed",
					      "--no-user", "--no-input",
					      "--disable-pip-version-check",
					      "--no-warn-script-location", NULL };
	int r = add_program(ret, tool);
	if (r == 0)
		r = add_words(ret, tool->is_uv ? of_uv : of_pip);
	if (r == 0 && tool->is_uv)
		r = add_pair(ret, "--python", task->interpreter->executable);
	if (r == 0)
		r = add_pair(ret, "--prefix", task->prefix);
	if (r == 0)
		r = add_settings(ret, tool, task->settings);
	if (r == 0)
		r = add_source(ret, task);
	return r == 0 ? spell_shown(tool, task, ret_shown) : r;
}
