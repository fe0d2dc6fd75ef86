/*
 * What a build came to, remembered in the cache, so that it is done once: which wheel,
 * and what the installer notes beside it. Any thread.
 */
#pragma once

#include "cache/base/json.h"
#include "cache/env/interpreter.h"
#include "cache/source/wanted.h"
#include "cache/store/cache.h"

/* Texts that stand in dist-info; NULL: the file is not there. */
struct install_notes {
	char *direct_url; /* direct_url.json, PEP 610 */
	char *uv_cache;   /* uv_cache.json: by it uv tells that its source has changed */
	char *uv_build;   /* uv_build.json: what uv built with */
	char *installer;  /* INSTALLER; NULL: as of all wheels */
};
void install_notes_release(struct install_notes *notes);

struct build_record {
	struct sha256 wheel;
	struct install_notes notes;
	/* Of what may change: it is right as long as the stamp is. */
	char *folder; /* NULL: it cannot change */
	json_t *keys;
	struct digest stamp;
};
void build_record_release(struct build_record *record);

/* To JSON (the caller's reference; NULL without memory), and back: -EBADMSG. */
json_t *build_record_to_json(const struct build_record *record);
int build_record_from_json(const json_t *from, struct build_record *ret);
/* Fills `stamp` from folder and keys; where nobody can tell whether it changed, it will
 * never be fresh. -ENOMEM. */
int build_record_stamp(struct build_record *record);
/* Is what it was built from as it was? */
bool build_record_is_fresh(const struct build_record *record);

/*
 * What a source is known by: its digest, commit or path, and the interpreter that it is
 * built for. `sha256`: of an sdist's file. -EINVAL: nothing tells it from others.
 */
int build_key(const struct wanted_source *source, const struct sha256 *sha256,
	      const struct interpreter *interpreter, struct digest *ret);
/* -ENOENT: it was never built, or it changed, or the wheel is gone. */
int build_record_find(struct cache *cache, const struct digest *key,
		      struct build_record *ret, struct wheel_note *ret_note);
int build_record_save(struct cache *cache, const struct digest *key,
		      const struct build_record *record);
