/*
 * Environment markers of PEP 508, with the sets `extras` and `dependency_groups` of PEP
 * 751, as the `packaging` project judges them. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/error.h"

enum marker_variable {
	MARKER_IMPLEMENTATION_NAME,
	MARKER_IMPLEMENTATION_VERSION,
	MARKER_OS_NAME,
	MARKER_PLATFORM_MACHINE,
	MARKER_PLATFORM_PYTHON_IMPLEMENTATION,
	MARKER_PLATFORM_RELEASE,
	MARKER_PLATFORM_SYSTEM,
	MARKER_PLATFORM_VERSION,
	MARKER_PYTHON_FULL_VERSION,
	MARKER_PYTHON_VERSION,
	MARKER_SYS_PLATFORM,
	MARKER_EXTRA, /* from here on they are none of the interpreter */
	MARKER_EXTRAS,
	MARKER_DEPENDENCY_GROUPS,
	MARKER_COUNT
};

/* Names, normalised. */
struct marker_set {
	const char *const *names;
	size_t count;
};

/* What markers are judged by. All of it is borrowed. */
struct marker_environment {
	const char *values[MARKER_EXTRA];
	const char *extra; /* "" where there is none; NULL: markers must not ask for it */
	const struct marker_set *extras, *groups; /* NULL: they must not */
	/* Where it is set, `extra == "x"` asks it instead: uv has several at once. */
	bool (*has_extra)(const void *context, const char *name);
	const void *context;
};

/*
 * -EINVAL: it is no marker, or compares what cannot be compared. With NULL for the
 * environment it is only parsed.
 */
int marker_evaluate(const char *text, const struct marker_environment *environment,
		    bool *ret, struct error *reterr);

/* "python_version"; as markers and the interpreter's probe call it. */
const char *marker_name(enum marker_variable variable);
