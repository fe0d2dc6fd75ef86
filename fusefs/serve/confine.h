/* What a server may do once it reads what others have written: next to nothing. */
#pragma once

#include "cache/base/error.h"

/*
 * Takes all capabilities, the right to gain any by execve() (no_new_privs) and all system
 * calls that serving does not need from the process, for good. To be called before there
 * are threads, as capabilities are each thread's own, and before anything is parsed.
 * *ret_missing: 0, or the negative errno for which there is no filter: the kernel has
 * none, or who started us may make none (some containers). That is no failure.
 */
int confine_server(int *ret_missing, struct error *reterr);
