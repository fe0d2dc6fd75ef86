/*
 * What an environment is to be made of, as lock files say it and before anything is
 * fetched: for each distribution the wheels that would do, or what is to be built. Built
 * by one thread (cache/env/lock), then immutable: any thread.
 *
 * All strings belong to the struct that they stand in and are UTF-8 without control
 * characters, whatever the lock held. NULL means that it was not said. Names are at most
 * WANTED_NAME, all other strings at most WANTED_TEXT bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/cleanup.h"
#include "cache/base/digest.h"

enum { WANTED_NAME = 255, WANTED_TEXT = 8191, WANTED_MOST = 100000 };

/* A digest that is not SHA-256: "sha512" or "blake2b" and so on, and lower-case hex. */
struct wanted_hash {
	char *algorithm, *hex;
};

/* What bytes must be. A file is right when it has the size and *each* of the hashes. */
struct wanted_bytes {
	int64_t size; /* -1: not said */
	bool has_sha256;
	struct sha256 sha256;
	struct wanted_hash *others;
	size_t other_count;
};

/* How well a wheel fits, first by its tags, then by its build. */
struct wheel_rank {
	int tags; /* less is better; -1: it does not fit */
	uint64_t build;
	char build_rest[64];
};
/* Negative: `a` is the better one. */
int wheel_rank_compare(const struct wheel_rank *a, const struct wheel_rank *b);

/* One wheel file. A path wins over a URL; one of them at least is there. */
struct wanted_wheel {
	char *name;      /* normalised, "ruamel-yaml" */
	char *version;   /* as the lock has it; never NULL, the file name's otherwise */
	char *file;      /* numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.whl */
	char *url;       /* http, https or file; without credentials unless the lock has
			    some, never with a fragment */
	char *path;      /* absolute */
	char *index_url; /* where the lock found it: whose credentials are meant */
	struct wanted_bytes bytes;
	struct wheel_rank rank; /* of those of a lock, and where it stood there: by both
				   they are ordered */
	size_t place;
};

enum wanted_source_kind {
	WANTED_DIRECTORY, /* a project's own directory */
	WANTED_SDIST,     /* a source archive, from an index or named by URL or path */
	WANTED_GIT,
};

/* What a wheel is to be built from. */
struct wanted_source {
	enum wanted_source_kind kind;
	char *name, *version;      /* version: NULL for most directories */
	bool unnamed;              /* only what is built says its name: `name` is of its
				      place, for people */
	char *path_or_url;         /* an absolute path begins with '/' */
	char *index_url;           /* of an sdist, as above */
	char *subdirectory;        /* of the project in it, relative */
	char *commit;              /* of Git: what is to be checked out */
	char *revision;            /* of Git: the branch or tag that was asked for */
	bool editable;             /* of a directory */
	bool says_editable;        /* the lock has a word for it, be it that it is none */
	struct wanted_bytes bytes; /* of an sdist */
};

/*
 * One distribution to install. Exactly one of these holds:
 * - `wheel_count` > 0: the first one is installed, whatever can be had just now. They fit
 *   the interpreter, and the best comes first: what pip and uv would take.
 * - `source`: no wheel fits, or there is none. (Beside wheels it is not set.)
 * - `pinned`: a line of requirements.txt. It names no file: the best one of that name and
 *   version in the indexes, or in a cache, of which `hashes` has a digest.
 */
struct wanted_dist {
	char *name, *version; /* version: NULL when only a build tells */
	bool direct;          /* named by URL or path, not by an index: it gets a
				 direct_url.json */
	struct wanted_wheel *wheels;
	size_t wheel_count;
	struct wanted_source *source;
	bool pinned;
	bool exact; /* by "===": its version is meant without a local part that it lacks
		     */
	struct wanted_bytes *hashes; /* of a pin, or beside its file's own: any of these
					will do; sizes are -1 */
	size_t hash_count;           /* 0: any file */
	bool no_wheel, no_sdist; /* --no-binary and --only-binary, of what is pinned */
};

/* What requirements.txt says of indexes; the settings of pip and uv stand beside it. */
struct wanted_indexes {
	char *index_url;                 /* in place of the settings' */
	char **extra_urls, **find_links; /* URLs, or absolute paths */
	size_t extra_count, find_count;
	bool no_index, prefer_prereleases;
};

struct wanted {
	struct wanted_dist *dists; /* ordered by name, none twice */
	size_t count;
	struct wanted_indexes indexes;
	bool require_hashes;
};

void wanted_bytes_release(struct wanted_bytes *bytes);
/* Is there a hash that the file must have? Of NULL there is none. */
bool wanted_has_hash(const struct wanted_bytes *bytes);
/* -ENOMEM; then, too, it is to be released. */
int wanted_bytes_copy(struct wanted_bytes *to, const struct wanted_bytes *from);
void wanted_wheel_release(struct wanted_wheel *wheel);
void wanted_source_free(struct wanted_source *source);
void wanted_dist_release(struct wanted_dist *dist);
void wanted_release(struct wanted *wanted);

/*
 * How what stands in an index is judged, by who knows the interpreter (tags and versions
 * are cache/env's). `rank`: of a wheel of that file name. `python_fits`: a
 * Requires-Python; what cannot be parsed fits, as pip has it. Any thread.
 */
struct wanted_judge {
	struct wheel_rank (*rank)(const void *context, const char *file);
	bool (*python_fits)(const void *context, const char *requires_python);
	const void *context;
};
