/* URLs as texts. Any thread. */
#pragma once

#include <stdbool.h>

#include "cache/base/bytes.h"
#include "cache/base/digest.h"
#include "cache/base/error.h"
#include "cache/base/shown.h"

bool url_is_http(const char *text);

/*
 * Appends the URL without user and password, as PEP 610 has it in direct_url.json; of
 * ssh:// and the like the user stays, which is no secret there.
 */
int url_append_without_login(struct buffer *out, const char *url);

/*
 * Appends the URL as it is cached under by pip: scheme and host in lower case, a path at
 * least, no user, password and fragment.
 */
int url_append_normal(struct buffer *out, const char *url);

/* Do both begin with the same scheme, host and port? */
bool url_same_realm(const char *a, const char *b);

/* And the same path, whatever user, slash at the end, query and fragment? */
bool url_same_place(const char *a, const char *b);

/* How many components of their paths, from the first on, are the same. */
size_t url_common_path(const char *a, const char *b);

/* User and password of the URL, percent-decoded; the caller frees both. False when it has
 * no user. */
bool url_login(const char *url, char **ret_user, char **ret_password);

/*
 * The last component of the path of a URL, or of a relative one, percent-decoded, when it
 * is the name of a file: not empty, no '/', no control characters. The caller frees it;
 * NULL otherwise.
 */
char *url_file_name(const char *url);

/* The path that a file:// URL names, percent-decoded; the caller frees it; NULL for what
 * is none. */
char *url_file_path(const char *url);

/*
 * Splits "#sha256=..." off: *ret_url is what stands before the fragment (the caller frees
 * it), *ret_has says whether there was a sha256. -EINVAL: a sha256 that is none.
 */
int url_split_hash(const char *text, char **ret_url, bool *ret_has, struct sha256 *ret);
