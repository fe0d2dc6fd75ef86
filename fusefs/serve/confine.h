/* What a server may do once it reads what others have written: next to nothing. */
#pragma once

#include "cache/base/error.h"

/*
 * Takes all capabilities, the right to gain any by execve() (no_new_privs) and all system
 * calls that serving does not need from the process, for good. To be called before there
 * are threads, as capabilities are each thread's own, and before anything is parsed.
 */
int confine_server(struct error *reterr);
