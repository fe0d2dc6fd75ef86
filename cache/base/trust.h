/*
 * Who could change a directory? A cache or a state is trusted when it, and every
 * directory on the way to it, belongs to a trusted uid and can be changed by nobody else
 * (DESIGN: "a path of which a third party could replace a component is refused"). Any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cache/base/error.h"

/*
 * `path` is absolute and without symlinks; its last component must belong to one of
 * `owners` (`count` of them), those before it to one of them or to root. Directories
 * writable by group or others are refused unless they are sticky ones above the last, or
 * the group is root's or the owner's private one and no ACL lets others in. -EACCES with
 * a text, which names `variable` as what helps.
 */
int trust_check_path(const char *path, const uid_t *owners, size_t count,
		     const char *variable, struct error *reterr);

/*
 * Makes the directory, 0700, where it is missing, and resolves it (the caller frees
 * *ret_path). What is there of the way is checked before anything is made, so that a link
 * that somebody has planted leads to nothing.
 */
int trust_make_path(const char *path, const char *variable, char **ret_path,
		    struct error *reterr);
