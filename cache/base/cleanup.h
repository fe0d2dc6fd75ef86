/*
 * Scope-bound clean-up: a local declared with one of these forms is released when it goes
 * out of scope, and handed over with steal_ptr() or steal_fd() on the line that succeeds.
 */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* "unused": some locals are there for nothing but their clean-up. */
#define CLEANUP(fn) __attribute__((cleanup(fn), unused))

/* Defines name##p(), the clean-up function of a pointer to `type` freed by `name`. */
#define DEFINE_CLEANUP(type, name)          \
	static inline void name##p(type *p) \
	{                                   \
		name(*p);                   \
	}                                   \
	struct cleanup_needs_a_semicolon

static inline void cleanup_free_fn(void *p)
{
	void *held;
	__builtin_memcpy(&held, p, sizeof(held));
	free(held);
}

/* Closes *fd unless it is negative, and keeps errno. */
void cleanup_close_fn(const int *fd);
void cleanup_dir_fn(DIR **dir);
void cleanup_file_fn(FILE **file);

#define cleanup_free CLEANUP(cleanup_free_fn)
#define cleanup_fd CLEANUP(cleanup_close_fn)
#define cleanup_dir CLEANUP(cleanup_dir_fn)
#define cleanup_file CLEANUP(cleanup_file_fn)

#define steal_ptr(p)                         \
	__extension__({                      \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL;                  \
		stolen_;                     \
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}
