/*
 * Which Python is meant, found as uv finds it. Any thread.
 *
 * What is asked for: `wanted`, else $UV_PYTHON, else the first line of the nearest
 * .python-version, else what the project requires, else any. Where it is looked for:
 * uv's own interpreters, then PATH (`preference`, UV_PYTHON_PREFERENCE and its kin change
 * that).
 * A virtual environment's interpreter stands for the one that it was made from.
 */
#pragma once

#include "cache/base/error.h"
#include "cache/env/interpreter.h"

struct store;

struct discovery {
	const char *wanted; /* --python: a version, a range, a name or a path; or NULL */
	const char
	    *project;     /* absolute: .python-version is looked for from here upward */
	const char *root; /* ... to this one of its parents; NULL: to the topmost */
	const char *requires_python; /* the project's PEP 440 specifiers, or NULL */
	/* What uv's files say for python-preference, or NULL. The environment has the
	 * last word. */
	const char *preference;
};

/*
 * Finds the interpreter and probes it. -ENOENT: there is none such, and the text names
 * what was found instead; -EINVAL: it does not behave like one, or is none that the
 * project allows.
 */
int discover_interpreter(struct store *store, const struct discovery *discovery,
			 struct interpreter **ret, struct error *reterr);
