/*
 * INI files as Python's configparser reads them, which is what pip.conf is: "key = value"
 * or "key: value" under [section], comments on lines of their own, further lines of a
 * value indented. (inih, as distributions build it, cuts lines at 200 bytes, and an
 * index's URL with a token in it is longer.) Any thread.
 */
#pragma once

#include <stddef.h>

#include "cache/base/error.h"

/* `key` is in lower case, with '-' for '_'; lines of the value are separated by '\n'.
 * Return a negative errno to stop. */
typedef int ini_visit(void *context, const char *section, const char *key,
		      const char *value);

/* -EBADMSG with the line that is none of these. */
int ini_parse(const char *text, size_t size, ini_visit *visit, void *context,
	      struct error *reterr);
