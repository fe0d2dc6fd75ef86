#include "cache/wheel/zip_private.h"

#include <errno.h>

enum { EXTRA_ZIP64 = 0x0001, EXTRA_UNICODE_PATH = 0x7075 };

static int refuse(struct error *reterr, const char *name, const char *rule)
{
	return error_set(reterr, -EBADMSG, "member '%s': %s", name, rule);
}

/*
 * Exactly the values that the header lacks, in APPNOTE's order. Bazel and others write
 * both sizes though neither is missing: taken when they say the same once more.
 */
static int take_zip64(const uint8_t *p, size_t size, bool central, const char *name,
		      struct zip_sizes *s, struct error *reterr)
{
	uint64_t *missing[3];
	size_t count = 0;
	if (s->size == UINT32_MAX)
		missing[count++] = &s->size;
	if (s->packed == UINT32_MAX)
		missing[count++] = &s->packed;
	if (central && s->offset == UINT32_MAX)
		missing[count++] = &s->offset;
	bool repeats = count == 0 && size == 16 && load_le64(p) == s->size &&
		       load_le64(p + 8) == s->packed;
	if (size != 8 * count && size != 0 && !repeats)
		return refuse(reterr, name, "a ZIP64 field that does not fit its sizes");
	for (size_t i = 0; i < count && size != 0; i++)
		*missing[i] = load_le64(p + 8 * i);
	s->is_zip64 = size != 0;
	return 0;
}

/* A second name for the member must be the first once more. */
static int check_unicode_path(const uint8_t *p, size_t size, const char *name,
			      struct error *reterr)
{
	size_t name_size = strlen(name);
	if (size != 5 + name_size || p[0] != 1 || memcmp(p + 5, name, name_size) != 0)
		return refuse(reterr, name, "a Unicode path field with another name");
	return 0;
}

int zip_check_extra(const uint8_t *extra, size_t size, bool central, const char *name,
		    struct zip_sizes *sizes, struct error *reterr)
{
	bool seen_zip64 = false;
	bool seen_path = false;
	for (size_t at = 0; at < size;) {
		if (!range_inside(at, 4, size) ||
		    !range_inside(at + 4, load_le16(extra + at + 2), size))
			return refuse(reterr, name, "a malformed extra field");
		uint16_t kind = load_le16(extra + at);
		size_t part = load_le16(extra + at + 2);
		bool *seen = kind == EXTRA_ZIP64          ? &seen_zip64
			     : kind == EXTRA_UNICODE_PATH ? &seen_path
							  : NULL;
		if (seen && *seen)
			return refuse(reterr, name, "the same extra field twice");
		int r = 0;
		if (kind == EXTRA_ZIP64)
			r = take_zip64(extra + at + 4, part, central, name, sizes,
				       reterr);
		else if (kind == EXTRA_UNICODE_PATH)
			r = check_unicode_path(extra + at + 4, part, name, reterr);
		if (r < 0)
			return r;
		if (seen)
			*seen = true;
		at += 4 + part;
	}
	return 0;
}
