/*
 * Versions of PEP 440, compared as it says. Numbers of 2^63 and more, releases of more
 * than 24 parts and local parts of more than 127 characters are taken for no versions.
 * Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VERSION_PARTS = 24, VERSION_LOCAL = 128, VERSION_TEXT = 640 };

/* What a release candidate is called; in the order of versions. */
enum version_pre { VERSION_ALPHA, VERSION_BETA, VERSION_CANDIDATE, VERSION_FINAL };

struct version {
	uint64_t epoch;
	uint64_t release[VERSION_PARTS]; /* what is beyond `count` is 0 */
	unsigned count;
	enum version_pre pre;
	uint64_t pre_number; /* 0 when final */
	bool has_post, has_dev;
	uint64_t post, dev;
	char local[VERSION_LOCAL]; /* "ubuntu.1", or "" */
};

/* False when the `size` bytes are no version. White space around it is left off. */
bool version_parse(const char *text, size_t size, struct version *ret);
/* As far as it is one: where it ends, or NULL. Neither white space nor a local part. */
const char *version_parse_public(const char *text, const char *end, struct version *ret);

/* Negative, 0 or positive; the second as if neither had a local part. */
int version_compare(const struct version *a, const struct version *b);
int version_compare_public(const struct version *a, const struct version *b);

/* Its one spelling: "1!2.0rc1.post2.dev3+ubuntu.1". */
void version_format(const struct version *v, char ret_text[VERSION_TEXT]);
