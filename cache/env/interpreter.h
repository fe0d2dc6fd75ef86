/*
 * A Python interpreter: run once to tell about itself, and remembered in the cache
 * until its file changes. Immutable after interpreter_probe(): any thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"

struct store;

struct interpreter {
	char *executable; /* absolute path of the base interpreter: what bin/python points
			     to */
	char *home;       /* its directory */
	char *version;    /* 3.11.7 */
	char *implementation; /* CPython */
	char *name;           /* cpython: sys.implementation.name */
	char *cache_tag;      /* cpython-311 */
	char *soabi;
	char *machine;             /* x86_64 */
	char *libc, *libc_version; /* glibc 2.36, musl 1.2.4, or empty */
	char *site_packages;       /* below a venv: lib/python3.11/site-packages */
	char *pip_wheels;          /* folder of ensurepip's wheels, or empty */
	char *include;             /* below a venv: include/site/python3.11 */
	char *facts;               /* all of it as JSON text, markers included */
	int major, minor;
	int pointer_bits;
	bool free_threaded, debug;
};

/*
 * Of the program at `path`. A virtual environment's interpreter stands for the one that
 * it was made from. `store` remembers. -ENOENT: there is none; -EINVAL: it does not
 * behave like one.
 */
int interpreter_probe(struct store *store, const char *path, struct interpreter **ret,
		      struct error *reterr);
void interpreter_free(struct interpreter *p);
DEFINE_CLEANUP(struct interpreter *, interpreter_free);
