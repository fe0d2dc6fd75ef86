/*
 * Optional features of the kernel. Each may be missing; VENVFS_MASK makes this server
 * behave as if it were, for tests: a list of the names below with commas, or "all".
 */
#pragma once

#include "cache/base/error.h"

enum feature {
	FEATURE_NO_OPEN = 1 << 0,         /* "no_open": OPEN answered once with ENOSYS */
	FEATURE_NO_OPENDIR = 1 << 1,      /* "no_opendir" */
	FEATURE_READDIRPLUS = 1 << 2,     /* "readdirplus" */
	FEATURE_CACHE_READDIR = 1 << 3,   /* "cache_readdir" */
	FEATURE_CACHE_SYMLINKS = 1 << 4,  /* "cache_symlinks" */
	FEATURE_NEGATIVE = 1 << 5,        /* "negative": names that are not there */
	FEATURE_PARALLEL_DIROPS = 1 << 6, /* "parallel_dirops" */
	FEATURE_ASYNC_READ = 1 << 7,      /* "async_read" */
	FEATURE_LARGE_READS = 1 << 8,     /* "large_reads": 1 MiB instead of 128 KiB */
	FEATURE_KILLPRIV = 1 << 9,        /* "killpriv": set-id bits, version 2 */
	FEATURE_TMPFILE = 1 << 10,        /* "tmpfile": O_TMPFILE */
	FEATURE_RESEND = 1 << 11,  /* "resend": what a dead server left comes again */
	FEATURE_HANDLES = 1 << 12, /* "handles": file handles of forgotten nodes */
};

/* The features that `text` (may be NULL) does not mask. -EINVAL: an unknown name. */
int features_unmasked(const char *text, unsigned *ret, struct error *reterr);
