#include "cache/env/lock/lock.h"

#include "cache/env/lock/fill.h"
#include "cache/wheel/wheel_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void lock_notes_release(struct lock_notes *notes)
{
	buffer_release(&notes->warnings);
	inputs_release(&notes->inputs);
}

static int read_file(struct reading *r)
{
	cleanup_json json_t *lock = NULL;
	if (r->file->kind == LOCK_REQUIREMENTS)
		return read_requirements(r);
	int result = fill_read_toml(r, r->file->path, &lock);
	if (result < 0)
		return result;
	return r->file->kind == LOCK_UV ? read_uv_lock(r, lock) : read_pylock(r, lock);
}

static int compare_dists(const void *a, const void *b)
{
	const struct wanted_dist *x = a;
	const struct wanted_dist *y = b;
	return strcmp(x->name, y->name);
}

/* The same pin once more: a file that either line allows will do. */
static int merge(struct wanted_dist *to, struct wanted_dist *from)
{
	if (from->hash_count == 0)
		return 0;
	struct wanted_bytes *more =
	    realloc(to->hashes, (to->hash_count + from->hash_count) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	to->hashes = more;
	memcpy(more + to->hash_count, from->hashes, from->hash_count * sizeof(*more));
	to->hash_count += from->hash_count;
	from->hash_count = 0;
	return 0;
}

static bool same_place(const struct wanted_dist *a, const struct wanted_dist *b)
{
	if (a->wheel_count > 0 && b->wheel_count > 0)
		return strcmp(a->wheels[0].file, b->wheels[0].file) == 0;
	return a->source && b->source &&
	       strcmp(a->source->path_or_url, b->source->path_or_url) == 0;
}

static bool same_pin(const struct wanted_dist *a, const struct wanted_dist *b)
{
	if (!a->pinned || !b->pinned)
		return false;
	bool takes = pin_takes(a->version, b->version);
	bool taken = pin_takes(b->version, a->version);
	return a->exact || b->exact ? takes && taken : takes || taken;
}

/* 1: they are one, and `b` is done with; 0 or an error. */
static int unite(struct wanted_dist *a, struct wanted_dist *b, struct error *reterr)
{
	if (strcmp(a->name, b->name) != 0)
		return 0;
	bool same = same_pin(a, b);
	if (!same && !same_place(a, b))
		return error_set(reterr, -EINVAL, "%s is wanted twice: as %s and as %s",
				 a->name, a->version ? a->version : "source",
				 b->version ? b->version : "source");
	int r = same ? merge(a, b) : 0;
	/* Of "1.0" and "1.0+cpu" the latter is meant. */
	if (same && !pin_takes(b->version, a->version)) {
		char *version = a->version;
		a->version = b->version;
		b->version = version;
	}
	a->exact = a->exact || (same && b->exact);
	wanted_dist_release(b);
	return r < 0 ? r : 1;
}

/* Orders by name and makes one of each. */
static int finish(struct wanted *w, struct error *reterr)
{
	size_t kept = 0;
	int r = 0;
	if (w->count == 0)
		return 0;
	qsort(w->dists, w->count, sizeof(*w->dists), compare_dists);
	for (size_t i = 0; i < w->count; i++) {
		int united = kept > 0 && r == 0
				 ? unite(&w->dists[kept - 1], &w->dists[i], reterr)
				 : 0;
		r = united < 0 ? united : r;
		if (united == 1)
			continue;
		w->dists[kept++] = w->dists[i];
	}
	w->count = kept;
	return r;
}

/* What has a hash may have got it by another line or file than the one that asks for it;
 * that of what has none may have been read before. */
static int check_hashes(const struct wanted *w, struct error *reterr)
{
	for (size_t i = 0; w->require_hashes && i < w->count; i++) {
		const struct wanted_dist *d = &w->dists[i];
		const struct wanted_bytes *bytes =
		    d->wheel_count > 0                             ? &d->wheels[0].bytes
		    : d->source && d->source->kind == WANTED_SDIST ? &d->source->bytes
								   : NULL;
		bool has = bytes && (bytes->has_sha256 || bytes->other_count > 0);
		if ((bytes || d->pinned) && !has && d->hash_count == 0)
			return error_set(reterr, -EINVAL,
					 "%s has no hash, and --require-hashes is set",
					 d->name);
	}
	return 0;
}

int lock_read(const struct lock_file *file, const struct lock_options *options,
	      const struct target *target, struct wanted *wanted,
	      struct lock_notes *notes, struct error *reterr)
{
	struct reading r = { .file = file,
			     .options = options,
			     .target = target,
			     .wanted = wanted,
			     .notes = notes,
			     .reterr = reterr };
	int result = read_file(&r);
	if (result == 0)
		result = finish(wanted, reterr);
	return result < 0 ? result : check_hashes(wanted, reterr);
}
