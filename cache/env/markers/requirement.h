/*
 * A dependency specifier of PEP 508: `name[extra]>=1.0; marker` or `name @ URL ; marker`.
 * Immutable once it is parsed: any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/error.h"

struct requirement {
	char *name;    /* normalised */
	char **extras; /* normalised */
	size_t extra_count;
	char *url;        /* or NULL */
	char *specifiers; /* "==1.0,!=1.1", or "" */
	char *marker;     /* or NULL */
};

/* -EINVAL: it is none. */
int requirement_parse(const char *text, struct requirement *ret, struct error *reterr);
void requirement_release(struct requirement *requirement);

/*
 * The version, when the specifiers allow exactly one: "1.0" of "==1.0". The caller frees
 * it; NULL when they do not.
 */
char *requirement_pin(const struct requirement *requirement);
