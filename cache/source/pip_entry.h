/*
 * An entry of pip's HTTP cache, as CacheControl writes it: "cc=4," and MessagePack.
 * Before pip 23.3 the body is in it (http/), since then in a file beside it (http-v2/).
 * Any thread.
 */
#pragma once

#include "cache/source/msgpack.h"

struct pip_entry {
	uint64_t status;
	uint64_t body, body_size; /* where it lies in the entry */
};

/* `m` reads the whole file. -EBADMSG: it is none, or of another version. */
int pip_entry_parse(struct msgpack *m, struct pip_entry *ret);

/* "http/a/b/c/d/e/abcde..." of the URL's answer, below pip's cache; `folder` is http or
 * http-v2. The caller frees it. */
char *pip_entry_path(const char *folder, const char *url);
