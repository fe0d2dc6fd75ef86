/*
 * The whole of an image checked at once, for publishing and for `cache verify`. The
 * reader checks bounds at each use anyway; here stands what it never needs to ask: that
 * names are sorted and sane, that children and parents agree, that sections hold only
 * what they may, and that the id is that of the metadata.
 */
#include "cache/base/file.h"
#include "cache/store/image_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int wrong(struct error *reterr, uint32_t number, const char *what)
{
	return error_set(reterr, -EBADMSG, "entry %u of the image: %s", number, what);
}

static int check_id(struct image *image, struct error *reterr)
{
	CLEANUP(digest_stream_freep) struct digest_stream *s = digest_stream_new();
	if (!s)
		return -ENOMEM;
	static const uint8_t zeros[HEAD_ENTRIES - HEAD_SUM] = { 0 };
	digest_stream_add(s, image->map, HEAD_SUM);
	digest_stream_add(s, zeros, sizeof(zeros));
	digest_stream_add(s, image->map + HEAD_ENTRIES, image->meta_size - HEAD_ENTRIES);
	struct digest found = digest_stream_end(s);
	if (atomic_load(&image->bad) || !digest_equal(&found, &image->id))
		return error_set(reterr, -EBADMSG,
				 "the image's metadata does not match its id");
	return 0;
}

static bool name_is_sane(const struct entry *e)
{
	for (uint16_t i = 0; i < e->name_size; i++) {
		if (e->name[i] == '/' || e->name[i] == '\0')
			return false;
	}
	return !(e->name[0] == '.' &&
		 (e->name_size == 1 || (e->name_size == 2 && e->name[1] == '.')));
}

static int compare(const struct entry *a, const struct entry *b)
{
	size_t shorter = a->name_size < b->name_size ? a->name_size : b->name_size;
	int order = memcmp(a->name, b->name, shorter);
	return order ? order : (int)a->name_size - (int)b->name_size;
}

static int check_children(struct image *image, const struct entry *dir, uint32_t *next,
			  struct error *reterr)
{
	if (dir->size > 0 && dir->first_child != *next)
		return wrong(reterr, dir->number, "children out of order");
	struct entry last = { .name_size = 0 };
	for (uint32_t i = 0; i < dir->size; i++) {
		struct entry e;
		int r = image_entry(image, dir->first_child + i, &e);
		if (r < 0)
			return wrong(reterr, dir->first_child + i, "damaged");
		if (e.parent != dir->number || !name_is_sane(&e) ||
		    (i > 0 && compare(&last, &e) >= 0))
			return wrong(reterr, e.number, "a name or parent that cannot be");
		last = e;
	}
	*next += (uint32_t)dir->size;
	return 0;
}

/* What reading all content needs, made once for an image. */
struct checker {
	uint8_t *scratch;
	struct digest_stream *digest;
	struct sha256_stream *sha256;
};

static void checker_release(struct checker *c)
{
	free(c->scratch);
	digest_stream_free(c->digest);
	sha256_stream_free(c->sha256);
}

static int checker_init(struct checker *c)
{
	c->scratch = malloc(IMAGE_SCRATCH(IMAGE_BLOCK));
	c->digest = digest_stream_new();
	c->sha256 = sha256_stream_new();
	return c->scratch && c->digest && c->sha256 ? 0 : -ENOMEM;
}

static int check_content(struct image *image, const struct entry *e, struct checker *c,
			 struct error *reterr)
{
	struct sha256 expected;
	int has_sha256 = image_sha256(image, e->number, &expected);
	if (has_sha256 < 0 && has_sha256 != -ENODATA)
		return wrong(reterr, e->number, "its sha256 is damaged");
	digest_stream_reset(c->digest);
	for (uint64_t at = 0; at < e->size; at += IMAGE_BLOCK) {
		struct image_bytes bytes;
		if (image_read(image, e, at, IMAGE_BLOCK, c->scratch, &bytes) < 0)
			return wrong(reterr, e->number, "its content is damaged");
		digest_stream_add(c->digest, bytes.data, bytes.size);
		if (has_sha256 == 0)
			sha256_stream_add(c->sha256, bytes.data, bytes.size);
	}
	struct digest digest = digest_stream_end(c->digest);
	if (!digest_equal(&digest, &e->digest))
		return wrong(reterr, e->number, "its content does not match its digest");
	if (has_sha256 < 0)
		return 0;
	struct sha256 found = sha256_stream_end(c->sha256);
	if (memcmp(&found, &expected, sizeof(found)) != 0)
		return wrong(reterr, e->number, "its content does not match its sha256");
	return 0;
}

/* An object must be of the size that the entry says; its bytes are checked by block sums.
 */
static int check_object_size(struct image *image, const struct entry *e,
			     struct error *reterr)
{
	cleanup_fd int fd = image_open_object(image, e);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return wrong(reterr, e->number, "its object is missing");
	if ((uint64_t)st.st_size != e->size)
		return wrong(reterr, e->number, "its object has another size");
	return 0;
}

static int check_file(struct image *image, const struct entry *e, struct checker *c,
		      struct error *reterr)
{
	if (e->size > IMAGE_BLOCK &&
	    !range_inside(e->first_sum, block_count(e->size),
			  image->sections[SECTION_SUMS].size / 8))
		return wrong(reterr, e->number, "sums of its blocks are missing");
	if (!c)
		return 0;
	if (e->in_object) {
		int r = check_object_size(image, e, reterr);
		if (r < 0)
			return r;
	}
	return check_content(image, e, c, reterr);
}

static int check_entries(struct image *image, struct checker *c, struct error *reterr)
{
	uint32_t next = 1;
	for (uint32_t n = 0; n < image->count; n++) {
		struct entry e;
		if (image_entry(image, n, &e) < 0)
			return wrong(reterr, n, "damaged");
		int r = 0;
		const char *target;
		if (e.type == ENTRY_DIRECTORY)
			r = check_children(image, &e, &next, reterr);
		else if (e.type == ENTRY_FILE)
			r = check_file(image, &e, c, reterr);
		else if (e.type == ENTRY_SYMLINK &&
			 (image_readlink(image, &e, &target) < 0 ||
			  memchr(target, 0, e.size)))
			r = wrong(reterr, n, "a damaged symlink");
		if (r < 0)
			return r;
	}
	if (next != image->count)
		return error_set(reterr, -EBADMSG,
				 "entries of the image lie in no directory");
	return 0;
}

/* Rows sorted by entry; several of one entry only where `repeats`. */
static int check_rows(struct image *image, enum section_kind kind, uint64_t row_size,
		      bool repeats, struct error *reterr)
{
	uint64_t size = image->sections[kind].size;
	int64_t last = -1;
	if (size % row_size != 0)
		return error_set(reterr, -EBADMSG, "a table of the image has half a row");
	for (uint64_t i = 0; i < size / row_size; i++) {
		const uint8_t *row = image_row(image, kind, i, row_size);
		int64_t number = row ? (int64_t)load_le32(row) : -1;
		if (number < last || (number == last && !repeats) ||
		    number >= image->count)
			return error_set(reterr, -EBADMSG,
					 "a table of the image is out of order");
		last = number;
	}
	return 0;
}

static int check_sections(struct image *image, struct error *reterr)
{
	int r = check_rows(image, SECTION_SHA256, SHA256_ROW, false, reterr);
	if (r == 0)
		r = check_rows(image, SECTION_OWNERS, OWNER_ROW, false, reterr);
	if (r == 0)
		r = check_rows(image, SECTION_LINKS, LINK_ROW, false, reterr);
	if (r == 0)
		r = check_rows(image, SECTION_XATTRS, XATTR_ROW, true, reterr);
	uint32_t cursor = 0;
	struct info info;
	int more = 1;
	while (r == 0 && more > 0)
		more = image_info_next(image, &cursor, &info);
	if (r == 0 && more < 0)
		r = error_set(reterr, more, "the info section of the image is damaged");
	return r;
}

int image_check(struct image *image, bool content, struct error *reterr)
{
	int r = check_id(image, reterr);
	if (r < 0)
		return r;
	r = image_need(image, image->body, image->meta_size - image->body);
	if (r < 0)
		return error_set(reterr, r,
				 "metadata of the image does not match its sums");
	CLEANUP(checker_release) struct checker checker = { .scratch = NULL };
	if (content && checker_init(&checker) < 0)
		return -ENOMEM;
	r = check_entries(image, content ? &checker : NULL, reterr);
	return r < 0 ? r : check_sections(image, reterr);
}
