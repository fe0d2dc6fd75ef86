/*
 * Names: a wheel's file name (PyPA's binary distribution format), and the header files
 * METADATA and WHEEL, which are e-mail headers. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/error.h"

/* "dist-1.0-1build-py3-none-any.whl" in its parts, each NUL-terminated. */
struct wheel_name {
	char text[256]; /* what the parts point into */
	const char *distribution, *version, *build /* or "" */, *python, *abi, *platform;
};

/* `file_name` is the last component of a path. -EBADMSG. */
int wheel_name_parse(const char *file_name, struct wheel_name *ret, struct error *reterr);

/*
 * Build tags of wheels that were made of a directory on this machine: they are what that
 * had, not the distribution of that version. (The first is PEP 660's for editables.)
 */
#define WHEEL_BUILD_EDITABLE "0.editable"
#define WHEEL_BUILD_LOCAL "0.local"
bool wheel_name_is_local(const char *file_name);

/* PEP 503: lower case, runs of "-", "_" and "." become one "-". Truncated to `room`. */
void normalise_name(const char *name, char *ret_text, size_t room);
/* The same name, normalised? */
bool same_name(const char *a, const char *b);
/*
 * PEP 440: the same version, or the one is the other without its local part? "1.0" and
 * "1.0.0" are the same, and so are "1.0-post1", "1.0.POST1" and "1.0.post1".
 */
bool same_version(const char *a, const char *b);
/*
 * PEP 440's "==": is `version` one that the pin means? "1.0" takes "1.0.0+cpu" too,
 * "1.0+cpu" takes no other than that.
 */
bool pin_takes(const char *pin, const char *version);

/*
 * The value of the n-th header of that name (case-insensitive), copied; false when there
 * is none or it does not fit. Headers end at the first empty line.
 */
bool header_value(const char *text, size_t size, const char *name, unsigned n,
		  char *ret_value, size_t room);
