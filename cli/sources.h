/*
 * What a verb is told of where wheels come from, and wheels that are fetched: URLs and
 * name==version on the command line. One thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/env/lock/target.h"
#include "cache/source/source.h"
#include "cli/options.h"

struct source_options {
	const char *index_url;
	struct text_list extra_indexes, find_links;
	bool offline;
};
void source_options_release(struct source_options *options);

/* Rows of an option table; OFFSET(field) is the offset of a field of that struct. */
#define SOURCE_OPTION_SPECS(OFFSET)                                                          \
	{ "index-url", 'i',                                                                  \
	  OPTION_TEXT, OFFSET(index_url),                                                    \
	  "URL",       "the package index, in place of what pip and uv are set to" },        \
	    { "extra-index-url",     0,     OPTION_LIST,                                     \
	      OFFSET(extra_indexes), "URL", "another index; may be repeated" },              \
	    { "find-links", 0,                                                               \
	      OPTION_LIST,  OFFSET(find_links),                                              \
	      "PLACE",      "a folder of wheels, or the URL of a page that links to some" }, \
	{                                                                                    \
		"offline", 0, OPTION_FLAG, OFFSET(offline), NULL, "open no connection"       \
	}

/*
 * What pip and uv are set to, what a requirements file says over it, and the options over
 * both. Exit status.
 */
int source_settings_make(const struct source_options *options,
			 const struct wanted_indexes *file, struct source_settings *ret);

/* An sdist that was brought, of what has no wheel. */
struct source_sdist {
	bool is_there; /* it is one */
	struct sha256 sha256;
	char *file;           /* NULL: it was built before, or is not to be */
	char *place;          /* where it came from, for people */
	struct partial *held; /* keeps the file; or NULL */
};
/* `keep`: what was fetched stays for the next time. */
void source_sdist_release(struct source_sdist *sdist, bool keep);

/*
 * Brings distributions into the cache; says one line for each that failed, and when
 * `verbose` one for each other. Exit status.
 */
struct source_get {
	const struct wanted_dist *dists;
	size_t count;
	const struct target *target; /* needed for what is pinned only */
	bool lenient, verbose, no_build;
	struct wheel_note *ret_notes; /* as many; or NULL */
	/* As many; of sdists, which stay where they are until these are released; or
	 * NULL. */
	struct source_sdist *ret_sdists;
	/* As in struct source_request. */
	bool (*is_built)(void *context, const struct wanted_dist *dist,
			 const struct sha256 *sha256);
	void *context;
};
int sources_get(struct cache *cache, const struct source_settings *settings,
		const struct source_get *get);

/* Is an operand one of those that are fetched, and no path? */
bool is_source_operand(const char *text);

/*
 * Brings the operands into the cache; says one line for each that failed, and when
 * `verbose` one for each other. `python`: for whom name==version is to fit, or NULL. Exit
 * status.
 */
struct source_add {
	char **operands;
	size_t count;
	const char *python;
	bool lenient, verbose;
	struct wheel_note *ret_notes; /* as many, when all could be had; or NULL */
};
int sources_add(struct cache *cache, const struct source_add *add,
		const struct source_options *options);
