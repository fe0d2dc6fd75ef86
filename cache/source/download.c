/*
 * A partial is tmp/<key>.part/ with the wheel's file, as far as it came, and `answer`,
 * which says of which answer it is: the shown URL, the validator, the size, a line each.
 * It is written before the first byte of the file.
 *
 * The key is the wheel's sha256, or the URL where no hash is known. A part without a
 * validator can be gone on with only when a hash will tell whether the ends fit together;
 * when they do not, it is begun anew once.
 */
#include "cache/source/download.h"

#include "cache/base/file.h"
#include "cache/source/known.h"
#include "cache/source/url.h"
#include "cache/store/partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* Without a size in the lock and in the answer. */
#define LARGEST_WHEEL (UINT64_C(16) << 30)

/* Set aside on the word of a server alone. */
#define RESERVED_MOST (UINT64_C(1) << 30)

enum { PATIENCE = 1000 }; /* ms that another one may be at it before that is said */

struct download {
	struct cache *cache;
	const char *url, *file;
	struct expected expected;
	bool anew;
	struct check *check;
	struct partial *partial;
	int fd;
	char *shown, *path;
	char validator[256];
	int64_t size;  /* of the whole; -1: not known */
	bool complete; /* and checked */
	bool spliced;  /* of several answers, and no validator said that they are one */
	struct sha256 sha256;
	uint64_t busy_since; /* ms; 0: it was not found busy */
	bool told;           /* of the wait */
	struct download_calls calls;
};

int download_new(struct cache *cache, const struct download_of *of, struct download **ret,
		 struct error *reterr)
{
	struct download *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	*d = (struct download){ .cache = cache,
				.url = of->url,
				.file = of->file,
				.expected = *of->expected,
				.anew = of->anew,
				.fd = -1,
				.size = -1,
				.shown = url_shown(of->url) };
	int r = d->shown ? check_new(of->expected, &d->check, reterr) : -ENOMEM;
	if (r < 0) {
		download_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

/* What was set aside and did not come. */
static void give_back(const struct download *d)
{
	struct stat st;
	if (d->fd >= 0 && !d->complete && fstat(d->fd, &st) == 0 &&
	    ftruncate(d->fd, st.st_size) < 0)
		return; /* the folder is removed some day */
}

static void release(struct download *d)
{
	check_free(d->check);
	cleanup_close_fn(&d->fd);
	free(d->shown);
	free(d->path);
	free(d);
}

void download_free(struct download *d)
{
	if (!d)
		return;
	give_back(d);
	partial_free(d->partial);
	release(d);
}

void download_drop(struct download *d)
{
	if (!d)
		return;
	partial_remove(d->partial);
	release(d);
}

void download_set_calls(struct download *d, const struct download_calls *calls)
{
	d->calls = *calls;
}

static int cannot_write(const struct download *d, int code, struct error *reterr)
{
	return error_set(reterr, code, "cannot write to the cache '%s': %s",
			 store_path(cache_own(d->cache)), strerror(-code));
}

static bool has_hash(const struct download *d)
{
	const struct wanted_bytes *all = d->expected.all;
	return d->expected.any_count > 0 || wanted_has_hash(all);
}

/* Begins the file anew. */
static int empty(struct download *d)
{
	check_reset(d->check);
	d->validator[0] = '\0';
	d->size = -1;
	d->spliced = false;
	if (ftruncate(d->fd, 0) < 0)
		return -errno;
	return unlinkat(partial_dirfd(d->partial), "answer", 0) < 0 && errno != ENOENT
		   ? -errno
		   : 0;
}

/* Of which answer is what is there? Unknown is as good as nothing. */
static void read_answer(struct download *d)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	d->validator[0] = '\0';
	d->size = -1;
	if (file_read_at(partial_dirfd(d->partial), "answer", 16384, &text) < 0 ||
	    !buffer_cstr(&text))
		return;
	char *rest = (char *)text.data;
	const char *url = strsep(&rest, "\n");
	const char *validator = rest ? strsep(&rest, "\n") : NULL;
	if (!validator || !rest || strcmp(url, d->shown) != 0)
		return;
	(void)snprintf(d->validator, sizeof(d->validator), "%s", validator);
	d->size = strtoll(rest, NULL, 10);
}

static int write_answer(struct download *d)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = buffer_printf(&text, "%s\n%s\n%lld\n", d->shown, d->validator,
			      (long long)d->size);
	return r < 0 ? r
		     : file_replace_at(partial_dirfd(d->partial), "answer", text.data,
				       text.size, false);
}

static int open_file(struct download *d)
{
	struct stat st;
	d->fd =
	    file_open_beneath(partial_dirfd(d->partial), d->file, O_RDWR | O_CREAT, 0600);
	if (d->fd < 0)
		return d->fd;
	d->path = path_join(partial_path(d->partial), d->file);
	if (!d->path || fstat(d->fd, &st) < 0)
		return d->path ? -errno : -ENOMEM;
	read_answer(d);
	bool usable =
	    (d->validator[0] || has_hash(d)) && (d->size < 0 || st.st_size <= d->size);
	if (!usable)
		return empty(d);
	return check_add_file(d->check, d->fd, 0, (uint64_t)st.st_size);
}

static int open_partial(struct download *d, struct error *reterr)
{
	const struct wanted_bytes *all = d->expected.all;
	bool has_sha256 = all && all->has_sha256;
	struct digest key = has_sha256 ? digest_of(&all->sha256, sizeof(all->sha256))
				       : digest_of(d->url, strlen(d->url));
	struct wheel_note note;
	struct store *store;
	int r = partial_open(cache_own(d->cache), &key, &d->partial);
	if (r == -EBUSY)
		return r;
	/* Somebody else may just have finished it. */
	if (r == 0 && has_sha256 && !d->anew &&
	    cache_find_wheel(d->cache, &all->sha256, &store, &note) == 0) {
		partial_remove(steal_ptr(d->partial));
		return -EALREADY;
	}
	if (r == 0)
		r = open_file(d);
	return r < 0 ? cannot_write(d, r, reterr) : 0;
}

/* All of it came before, and the program ended before it could use it. */
static bool is_whole(const struct download *d)
{
	int64_t size = d->size >= 0 ? d->size : check_wanted_size(d->check);
	return size > 0 && check_size(d->check) == (uint64_t)size;
}

static void complete(struct download *d)
{
	d->complete = true;
	known_note(d->cache, &d->sha256, d->check);
}

static uint64_t now(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void note_wait(struct download *d)
{
	if (d->busy_since == 0)
		d->busy_since = now();
	if (d->told || now() - d->busy_since < PATIENCE || !d->calls.waits)
		return;
	d->told = true;
	d->calls.waits(d->calls.context);
}

/* -EBUSY: not yet. */
static int get_partial(struct download *d, struct error *reterr)
{
	if (d->partial)
		return 0;
	if (d->calls.gate && !d->calls.gate(d->calls.context))
		return -EBUSY;
	int r = open_partial(d, reterr);
	if (r == -EBUSY)
		note_wait(d);
	return r;
}

static int on_begin(void *context, bool afresh, struct http_range *ret,
		    struct error *reterr)
{
	struct download *d = context;
	int r = get_partial(d, reterr);
	bool usable = d->validator[0] || has_hash(d);
	if (r == 0 && (afresh || !usable)) {
		r = empty(d);
		if (r < 0)
			return cannot_write(d, r, reterr);
	}
	if (r == 0 && is_whole(d)) {
		if (check_end(d->check, &d->sha256, NULL) == 0) {
			complete(d);
			return -EALREADY;
		}
		r = empty(d);
		if (r < 0)
			return cannot_write(d, r, reterr);
	}
	ret->offset = check_size(d->check);
	ret->validator = d->validator[0] ? d->validator : NULL;
	return r;
}

static int check_size_said(const struct download *d, int64_t size, struct error *reterr)
{
	int64_t wanted = check_wanted_size(d->check);
	if (wanted < 0 && size > 0 && (uint64_t)size > LARGEST_WHEEL)
		return error_set(reterr, -EBADMSG,
				 "the server says that it has %lld bytes; more than %llu "
				 "are not taken unless the lock says so",
				 (long long)size, (unsigned long long)LARGEST_WHEEL);
	if (size >= 0 && wanted >= 0 && size != wanted)
		return error_set(reterr, -EBADMSG,
				 "it has %lld bytes, expected were %lld", (long long)size,
				 (long long)wanted);
	return 0;
}

/* A full disk is said now, and not after an hour. What a server says is not believed so
 * far that all of the disk would be set aside for it. */
static int reserve(const struct download *d)
{
	uint64_t have = check_size(d->check);
	struct statvfs disk;
	if (d->size <= 0 || (uint64_t)d->size <= have)
		return 0;
	uint64_t rest = (uint64_t)d->size - have;
	if (fstatvfs(d->fd, &disk) == 0 && disk.f_bavail < rest / disk.f_frsize)
		return -ENOSPC;
	if (check_wanted_size(d->check) < 0 && rest > RESERVED_MOST)
		rest = RESERVED_MOST;
	int r = fallocate(d->fd, FALLOC_FL_KEEP_SIZE, (off_t)have, (off_t)rest);
	return r < 0 && errno == ENOSPC ? -ENOSPC : 0;
}

static int on_start(void *context, const struct http_reply *reply, struct error *reterr)
{
	struct download *d = context;
	int r = check_size_said(d, reply->size, reterr);
	if (r < 0)
		return r;
	if (reply->offset == 0) {
		r = empty(d);
	} else if (!d->validator[0]) {
		d->spliced = true;
	}
	if (r == 0 && reply->size >= 0)
		d->size = reply->size;
	if (reply->validator && strlen(reply->validator) < sizeof(d->validator))
		(void)snprintf(d->validator, sizeof(d->validator), "%s",
			       reply->validator);
	if (r == 0)
		r = write_answer(d);
	if (r == 0)
		r = reserve(d);
	/* Room that is gone is given back: it may be what others need now. */
	if (r == -ENOSPC)
		(void)empty(d);
	return r < 0 ? cannot_write(d, r, reterr) : 0;
}

static int on_bytes(void *context, const void *bytes, size_t size, struct error *reterr)
{
	struct download *d = context;
	uint64_t have = check_size(d->check);
	int64_t wanted = check_wanted_size(d->check);
	uint64_t most = wanted >= 0    ? (uint64_t)wanted
			: d->size >= 0 ? (uint64_t)d->size
				       : LARGEST_WHEEL;
	if (!range_inside(have, size, most)) {
		(void)empty(d);
		return error_set(
		    reterr, -EBADMSG,
		    "the server sends more than the %llu bytes that were expected",
		    (unsigned long long)most);
	}
	int r = file_pwrite_all(d->fd, bytes, size, have);
	if (r < 0) {
		(void)empty(d);
		return cannot_write(d, r, reterr);
	}
	check_add(d->check, bytes, size);
	if (d->calls.progress)
		d->calls.progress(d->calls.context, have + size, d->size);
	return 0;
}

static int on_end(void *context, struct error *reterr)
{
	struct download *d = context;
	uint64_t have = check_size(d->check);
	int64_t whole = d->size >= 0 ? d->size : check_wanted_size(d->check);
	if (whole >= 0 && have < (uint64_t)whole)
		return error_set(reterr, -EAGAIN, "only %llu of %lld bytes came",
				 (unsigned long long)have, (long long)whole);
	bool again = d->spliced;
	int r = check_end(d->check, &d->sha256, reterr);
	if (r < 0) {
		(void)empty(d);
		return again ? -EAGAIN : r;
	}
	complete(d);
	return 0;
}

const struct http_sink download_sink = { on_begin, on_start, on_bytes, on_end };

const char *download_path(const struct download *d)
{
	return d->complete ? d->path : NULL;
}

const struct sha256 *download_sha256(const struct download *d)
{
	return &d->sha256;
}

struct partial *download_hold(struct download *d)
{
	return steal_ptr(d->partial);
}
