/*
 * What users have told pip and uv of where packages come from, as one. All strings belong
 * to the struct. Immutable once made.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/base/error.h"
#include "cache/source/uv_settings.h"
#include "cache/source/wanted.h"

struct source_index {
	char *url;             /* of a Simple API; may hold user and password */
	char *user, *password; /* beside it, or NULL */
	bool explicit_only;    /* asked only for what the lock says is from there */
};

struct source_settings {
	struct source_index *indexes; /* in the order that they are asked in */
	size_t index_count;
	char **find_links; /* folders (absolute), or URLs of pages */
	size_t find_count;
	bool offline;   /* no socket is opened */
	bool any_index; /* without a hash, too, all indexes are asked for a version, not
			   only the first that has the project */
	char *uv_cache, *pip_cache; /* folders; NULL: not looked at */
	char *ca_file, *ca_folder, *client_certificate;
	char *proxy, *http_proxy; /* for all, and for http only */
	char *netrc;
	char **insecure_hosts;
	size_t insecure_count;
	unsigned retries, seconds, parallel;
};

/*
 * From the environment, pip.conf and uv's files, those of the project that `directory` is
 * in too. What uv is told of indexes and --find-links stands; where it is told nothing,
 * what pip is told. `said` (or NULL), of a command line or requirements.txt, stands over
 * both: its index in place of theirs, its other places before theirs.
 */
int source_settings_read(const char *directory, const struct wanted_indexes *said,
			 struct source_settings *ret, struct error *reterr);
void source_settings_release(struct source_settings *settings);
