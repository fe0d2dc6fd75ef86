#include "cache/env/lock/lock.h"

#include "cache/base/shown.h"
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

/* The same once more: a file that either line allows will do. */
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

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Of a wheel or of an archive; NULL: it is of neither. */
static const struct wanted_bytes *bytes_of(const struct wanted_dist *d)
{
	if (d->wheel_count > 0)
		return &d->wheels[0].bytes;
	return d->source && d->source->kind == WANTED_SDIST ? &d->source->bytes : NULL;
}

/* Do two files of one place have what no one file can have? */
static bool contradict(const struct wanted_bytes *a, const struct wanted_bytes *b)
{
	if (a->size >= 0 && b->size >= 0 && a->size != b->size)
		return true;
	if (a->has_sha256 && b->has_sha256)
		return memcmp(&a->sha256, &b->sha256, sizeof(a->sha256)) != 0;
	for (size_t i = 0; i < a->other_count; i++) {
		for (size_t k = 0; k < b->other_count; k++) {
			if (strcmp(a->others[i].algorithm, b->others[k].algorithm) == 0 &&
			    strcmp(a->others[i].hex, b->others[k].hex) != 0)
				return true;
		}
	}
	return false;
}

/* One file by its name and sha256 is one, wherever it lies. */
static bool same_wheel(const struct wanted_wheel *a, const struct wanted_wheel *b)
{
	bool hashed = a->bytes.has_sha256 && b->bytes.has_sha256;
	bool here =
	    a->path || b->path ? same_text(a->path, b->path) : same_text(a->url, b->url);
	return strcmp(a->file, b->file) == 0 && (hashed || here) &&
	       !contradict(&a->bytes, &b->bytes);
}

static bool same_place(const struct wanted_dist *a, const struct wanted_dist *b)
{
	if (a->wheel_count > 0 && b->wheel_count > 0)
		return same_wheel(&a->wheels[0], &b->wheels[0]);
	const struct wanted_source *x = a->source;
	const struct wanted_source *y = b->source;
	return x && y && x->kind == y->kind &&
	       strcmp(x->path_or_url, y->path_or_url) == 0 &&
	       same_text(x->commit, y->commit) &&
	       same_text(x->subdirectory, y->subdirectory) &&
	       !contradict(&x->bytes, &y->bytes);
}

static bool same_pin(const struct wanted_dist *a, const struct wanted_dist *b)
{
	if (!a->pinned || !b->pinned)
		return false;
	bool takes = pin_takes(a->version, b->version);
	bool taken = pin_takes(b->version, a->version);
	return a->exact || b->exact ? takes && taken : takes || taken;
}

static bool is_unnamed(const struct wanted_dist *d)
{
	return d->source && d->source->unnamed;
}

/* What people see of it: where it lies, or its version. The caller frees it. */
static char *shown_of(const struct wanted_dist *d)
{
	const struct wanted_wheel *w = d->wheel_count > 0 ? &d->wheels[0] : NULL;
	const struct wanted_source *s = d->source;
	const char *place = w ? (w->path ? w->path : w->url) : s ? s->path_or_url : NULL;
	return place && (d->direct || !d->version) ? url_shown(place)
						   : strdup(d->version ? d->version : "");
}

static int wanted_twice(const struct wanted_dist *a, const struct wanted_dist *b,
			struct error *reterr)
{
	cleanup_free char *one = shown_of(a);
	cleanup_free char *other = shown_of(b);
	if (!one || !other)
		return -ENOMEM;
	if (strcmp(one, other) == 0)
		return error_set(reterr, -EINVAL,
				 "%s is wanted twice, as two different files of '%s'",
				 a->name, one);
	return error_set(reterr, -EINVAL, "%s is wanted twice: as %s and as %s", a->name,
			 one, other);
}

/* 1: they are one, and `b` is done with; 0 or an error. */
static int unite(struct wanted_dist *a, struct wanted_dist *b, struct error *reterr)
{
	if (strcmp(a->name, b->name) != 0 || is_unnamed(a) != is_unnamed(b))
		return 0;
	bool same = same_pin(a, b);
	if (!same && !same_place(a, b))
		return is_unnamed(a) ? 0 : wanted_twice(a, b, reterr);
	/* The one that has a hash says what the file must be. */
	if (!wanted_has_hash(bytes_of(a)) && wanted_has_hash(bytes_of(b))) {
		struct wanted_dist other = *a;
		*a = *b;
		*b = other;
	}
	int r = merge(a, b);
	/* Of "1.0" and "1.0+cpu" the latter is meant. */
	if (same && !pin_takes(b->version, a->version)) {
		char *version = a->version;
		a->version = b->version;
		b->version = version;
	}
	a->exact = a->exact || (same && b->exact);
	/* As with uv, who asks for an editable gets it. */
	if (a->source && b->source && b->source->editable)
		a->source->editable = true;
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
		const struct wanted_bytes *bytes = bytes_of(d);
		if ((bytes || d->pinned) && !wanted_has_hash(bytes) && d->hash_count == 0)
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
