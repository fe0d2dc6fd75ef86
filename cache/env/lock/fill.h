/* Private to cache/env/lock: untrusted texts put into struct wanted. */
#pragma once

#include "cache/base/bytes.h"
#include "cache/base/error.h"
#include "cache/base/json.h"
#include "cache/env/lock/lock.h"
#include "cache/source/wanted.h"

/* What all formats read with. */
struct reading {
	const struct lock_file *file;
	const struct lock_options *options;
	const struct target *target;
	struct wanted *wanted;
	struct lock_notes *notes;
	struct error *reterr;
};

int read_pylock(struct reading *r, const json_t *lock);
int read_uv_lock(struct reading *r, const json_t *lock);
int read_requirements(struct reading *r);

/* "<file>: text"; -EBADMSG and -EINVAL. */
__attribute__((format(printf, 2, 3))) int fill_bad(const struct reading *r,
						   const char *format, ...);
__attribute__((format(printf, 2, 3))) int fill_refuse(const struct reading *r,
						      const char *format, ...);
__attribute__((format(printf, 2, 3))) int fill_warn(const struct reading *r,
						    const char *format, ...);

/* Reads a file that the result depends on. */
int fill_read_file(const struct reading *r, const char *path, struct buffer *out);
/* As TOML; the caller's reference. */
int fill_read_toml(const struct reading *r, const char *path, json_t **ret);

/* A marker of the lock; NULL holds. 1, 0 or an error. */
int fill_marker(const struct reading *r, const struct marker_environment *environment,
		const char *marker);
/* Is a lock for this interpreter and machine? Both may be NULL: it says nothing. */
int fill_check_target(const struct reading *r, const char *python,
		      const json_t *environments);

/* Copies a text within limits; NULL stays NULL. */
int fill_text(const struct reading *r, const char *text, char **ret);
/* A name of a distribution, normalised. */
int fill_name(const struct reading *r, const char *name, char **ret);

/* "sha256:<hex>", or the two apart. */
int fill_hash_text(const struct reading *r, const char *text, struct wanted_bytes *to);
int fill_hash(const struct reading *r, const char *algorithm, const char *hex,
	      struct wanted_bytes *to);
/* Of a table with `size` and `hash` or `hashes`. */
int fill_bytes(const struct reading *r, const json_t *table, struct wanted_bytes *to);

/*
 * Where something lies: `path` from the lock's folder (or from `base`), else `url`, which
 * may be file:, and then there are both. Either may be NULL, not both.
 */
int fill_place(const struct reading *r, const char *base, const char *path,
	       const char *url, char **ret_path, char **ret_url);
/* Of a table with `path` or `url`; the path when there are both. */
int fill_location(const struct reading *r, const char *base, const json_t *table,
		  char **ret);
/* "a b" of the `size` bytes "a%20b"; the caller frees it. NULL without memory. */
char *fill_decode(const char *text, size_t size);
bool fill_is_wheel(const char *file);
/* All of a commit's hash in hex. */
bool fill_is_commit(const char *text);
/* The last component of a path or URL, percent-decoded; the caller frees it. */
char *fill_file_name(const char *path_or_url);
/* "/a/b" of "/a/x/../b", without a look at the disk. The caller frees it. */
char *fill_clean_path(const char *base, const char *path);

/* An empty one with the distribution's name; borrowed. NULL without memory. */
struct wanted_source *fill_new_source(struct wanted_dist *dist,
				      enum wanted_source_kind kind);
/*
 * A distribution to be filled in: it is added by fill_dist_done(), which takes what it
 * holds, whatever becomes of it. `wheels` are put into order, and those that do not fit
 * are left out; when none is left, `source` must be there.
 */
int fill_add_wheel(const struct reading *r, struct wanted_dist *dist,
		   struct wanted_wheel *take_wheel);
int fill_dist_done(struct reading *r, struct wanted_dist *take_dist);
