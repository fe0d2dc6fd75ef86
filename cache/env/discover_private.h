/* What the parts of discover.h share. Private to cache/env. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/env/discover.h"

enum request_kind {
	REQUEST_ANY,     /* whatever comes first */
	REQUEST_VERSION, /* of some implementation, some version, or both */
	REQUEST_RANGE,   /* text is PEP 440 specifiers */
	REQUEST_PATH,    /* text is the path of a program or of an installation */
	REQUEST_NAME,    /* text is a command in PATH */
};

enum request_threads { THREADS_UNSAID, THREADS_FREE, THREADS_GIL };

struct python_request {
	enum request_kind kind;
	const char *text; /* borrowed */
	/* Of a version, and of a range with an implementation before it: */
	char implementation[16]; /* sys.implementation.name, or "" */
	int numbers[3];
	int count;    /* how many of them were given */
	char pre[16]; /* "rc1"; then only that version fits, else only finished ones */
	enum request_threads threads;
	bool debug;
	char os[16], arch[16], libc[16]; /* of a key, "" or "any": not said */
};

/* Never fails: what is nothing else is the name of a command. */
struct python_request request_parse(const char *text);
/* -EINVAL: not specifiers. 1: it is what was asked for; 0: not. */
int request_fits(const struct python_request *request, const struct interpreter *p);
/* As request_fits(), by what a name tells: "3.13.1" and the implementation. */
int request_fits_version(const struct python_request *request, const char *implementation,
			 const char *version);
/* Do PEP 440 specifiers allow it? 1, 0, or -EINVAL: they are none. */
int request_range_has(const char *specifiers, const char *version);
/* Is 3.minor worth a look? */
bool request_may_be_minor(const struct python_request *request, int minor);
/* Is `text` a version, "3.13" or "3.13.0rc1" or "312", and nothing else? */
bool request_is_version(const char *text);
/* May it be one that is no finished release, or none of CPython's? */
bool request_allows_pre(const struct python_request *request);
bool request_allows_other(const struct python_request *request);

enum place { PLACE_NAMED, PLACE_UV, PLACE_PATH };

/* Returns 0 to go on. */
typedef int place_visit(void *context, enum place place, const char *program);
/*
 * Visits what may be it, the best first; a range's names are all worth a look.
 * `preference`: as in struct discovery.
 */
int places_visit(const struct python_request *request, const char *preference,
		 place_visit *visit, void *context);

/*
 * The first line of the nearest .python-version (or of the user's own, which stands in
 * uv's configuration); -ENOENT. The caller frees both.
 */
int discover_pin(const char *project, const char *root, char **ret_line, char **ret_path,
		 bool *ret_global, struct error *reterr);
