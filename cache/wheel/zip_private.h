/* What the parts of the zip checks share. Private to cache/wheel. */
#pragma once

#include "cache/base/bytes.h"
#include "cache/wheel/zip.h"

enum {
	FLAG_DESCRIPTOR = 1 << 3,
	FLAG_UTF8 = 1 << 11,
	/* Compression-level hints, a descriptor, UTF-8 names; all else changes the
	   content. */
	FLAGS_ALLOWED = 1 << 1 | 1 << 2 | FLAG_DESCRIPTOR | FLAG_UTF8,
	CENTRAL_SIZE = 46,
	LOCAL_SIZE = 30,
};

/* Sizes and offset of a header, replaced by those of its ZIP64 field where they are
 * 2^32-1. */
struct zip_sizes {
	uint64_t packed, size, offset;
	bool is_zip64;
};

/*
 * Checks the extra fields of a header: well-formed, no ZIP64 or Unicode-path field twice,
 * the ZIP64 one of exactly the values that are missing. `central`: with an offset.
 */
int zip_check_extra(const uint8_t *extra, size_t size, bool central, const char *name,
		    struct zip_sizes *sizes, struct error *reterr);
/* All rules for a member's name, its NUL-terminated copy. */
int zip_check_name(const char *name, size_t size, bool utf8, struct error *reterr);
/* Each local header against its member of the central directory; the ends are set. */
int zip_check_locals(int fd, struct zip *zip, struct error *reterr);
int zip_check_duplicates(struct zip *zip, struct error *reterr);
