/*
 * Version specifiers of PEP 440, ">=3.9,!=3.9.7", as the `packaging` project judges them.
 * Pre-releases are versions as any other. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/version/version.h"

enum specifier_operator {
	SPECIFIER_COMPATIBLE, /* ~= */
	SPECIFIER_EQUAL,
	SPECIFIER_NOT_EQUAL,
	SPECIFIER_AT_MOST,
	SPECIFIER_AT_LEAST,
	SPECIFIER_BELOW,
	SPECIFIER_ABOVE,
	SPECIFIER_IDENTICAL, /* === */
};

struct specifier {
	enum specifier_operator kind;
	bool any_more;          /* ".*" stands behind it */
	struct version version; /* unless it is === */
	const char *text;       /* the version as it was written; borrowed */
	size_t size;
};

/*
 * The one that `text` begins with: where it ends, or NULL when it begins with none.
 * White space may stand before the version, not before the operator.
 */
const char *specifier_parse(const char *text, const char *end, struct specifier *ret);

/* `text` is what `version` (NULL: none) was parsed from. */
bool specifier_matches(const struct specifier *s, const struct version *version,
		       const char *text);

/*
 * Is the version within all of a list with commas, which may be empty? 1, 0, or -EINVAL
 * when `list` is none.
 */
int specifiers_match(const char *list, const struct version *version, const char *text);
