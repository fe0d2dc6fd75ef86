/*
 * The user's own uv or pip, which builds what venvfs does not: found, and what it is
 * told. One thread.
 */
#pragma once

#include "cache/base/bytes.h"
#include "cache/base/error.h"
#include "cache/env/interpreter.h"

struct tool {
	bool is_uv;
	char *path; /* of uv, or of the interpreter */
	char *pip;  /* of an interpreter without pip: the one in its ensurepip's wheel */
};

/*
 * uv of PATH or ~/.local/bin, else the interpreter's pip, else the one that its ensurepip
 * brings. -ENOENT: there is none; the text names both.
 */
int tool_find(const struct interpreter *interpreter, struct tool *ret,
	      struct error *reterr);
void tool_release(struct tool *tool);

/* Where the tool may look for what a build needs; all may be NULL or 0. Borrowed. */
struct tool_settings {
	const char *index_url;
	const char *const *extra_urls, *const *find_links;
	size_t extra_count, find_count;
	bool no_index, offline;
};

/* Words of a command; they belong to it, and a NULL stands behind the last. */
struct words_of {
	char **items;
	size_t count;
};
void words_of_release(struct words_of *words);
int words_of_add(struct words_of *words, const char *word);

/*
 * "install what `source` is below `prefix`, without what it needs". `source`: as the
 * tools take it, a path or "name @ URL". *ret_shown: what people need of it to know what
 * was run; the caller frees it.
 */
struct tool_task {
	const struct interpreter *interpreter;
	const struct tool_settings *settings;
	const char *source, *prefix;
	const char *shown; /* `source` as people may see it */
	bool editable;
};
int tool_spell(const struct tool *tool, const struct tool_task *task,
	       struct words_of *ret, char **ret_shown);
