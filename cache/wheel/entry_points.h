/*
 * entry_points.txt: the console and GUI scripts of a distribution (PyPA's entry points
 * specification). An INI file: case-sensitive, '=' the only delimiter.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/error.h"

struct entry_point {
	bool is_gui;
	const char *name;     /* of the script */
	const char *module;   /* a.b */
	const char *function; /* x.y */
};

struct entry_points {
	struct entry_point *items;
	size_t count;
	const struct entry_point **by_name; /* the same, in the order of their names */
	char *text;                         /* what the items point into */
};

/*
 * -EBADMSG with the rule: a malformed line of a script section, a name that would leave
 * bin/ or take the interpreter's place, the same script twice. Other sections are passed
 * over.
 */
int entry_points_parse(const char *text, size_t size, struct entry_points *ret,
		       struct error *reterr);
/* Is one of them called what the `size` bytes are? */
bool entry_points_have(const struct entry_points *points, const char *name, size_t size);
void entry_points_release(struct entry_points *points);

/* May no wheel put a file of this name into bin/? The interpreter's own names, in any
 * case. */
bool is_reserved_script_name(const char *name);
