/*
 * A page of an index: the Simple API in JSON (PEP 691) and HTML (PEP 503), and pages of
 * links that --find-links names. Immutable once parsed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/source/wanted.h"

struct error;

struct simple_file {
	char *name; /* of the file; nothing is known of it but that it is no path */
	char *url;  /* as it stands there, perhaps relative, without its fragment */
	char *requires_python;     /* or NULL */
	struct wanted_bytes bytes; /* what it says of hashes and size */
	bool yanked;
};

struct simple_page {
	struct simple_file *files;
	size_t count;
	char *
	    base; /* what relative URLs are relative to, instead of the page's; or NULL */
};

/* -EBADMSG: it is no such page, or of a version that is not known here. Files that make
 * no sense are passed over. */
int simple_parse_json(const void *bytes, size_t size, struct simple_page *ret,
		      struct error *reterr);
/* -ENOSYS: there is no libxml2. */
int simple_parse_html(const void *bytes, size_t size, struct simple_page *ret,
		      struct error *reterr);
void simple_page_release(struct simple_page *page);

/* Private to the parsers: takes over what `file` holds, also on error. */
int simple_page_add(struct simple_page *page, struct simple_file *file);
void simple_file_release(struct simple_file *file);
/* A hash "sha256" of that hex; one that makes no sense is passed over. */
int simple_file_add_hash(struct simple_file *file, const char *algorithm,
			 const char *hex);
