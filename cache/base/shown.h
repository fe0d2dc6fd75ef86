/*
 * URLs as people may see them: without user, password, query and fragment, which may be
 * secrets. Everything that is printed or kept goes through here. Any thread.
 */
#pragma once

#include "cache/base/bytes.h"

/* Appends the URL as it may be seen. */
int url_append_shown(struct buffer *out, const char *url);
/* The same in a new string, which the caller frees; NULL without memory. */
char *url_shown(const char *url);
/* A text, in which each URL is one that may be seen; as above. */
char *text_shown(const char *text);
