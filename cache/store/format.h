/*
 * The bytes of an image, version 1: FORMAT.md in numbers. Private to cache/store.
 */
#pragma once

#include <stdint.h>

#define FORMAT_MAGIC "venvfsIM"

enum {
	FORMAT_VERSION = 1,
	FORMAT_PAGE = 4096, /* of metadata, one sum each */
	FORMAT_LONGEST_NAME = 255,
	FORMAT_DEEPEST = 256, /* directories below the root */

	/* The head: header, section table, page sums. */
	HEAD_MAGIC = 0,
	HEAD_VERSION = 8,
	HEAD_FLAGS = 12,
	HEAD_IMAGE_SIZE = 16,
	HEAD_META_SIZE = 24,
	HEAD_BODY = 32,
	HEAD_SUM = 40,
	HEAD_ID = 48,
	HEAD_ENTRIES = 64,
	HEAD_SECTIONS = 68,
	HEAD_TABLE = 80,

	SECTION_SIZE = 24, /* u32 kind, u32 zero, u64 offset, u64 size */
	SECTIONS_MOST = 16,

	ENTRY_SIZE = 64,
	ENTRY_NAME = 0,
	ENTRY_NAME_SIZE = 4,
	ENTRY_TYPE = 6,
	ENTRY_FLAGS = 7,
	ENTRY_MODE = 8,
	ENTRY_MTIME_NSEC = 12,
	ENTRY_MTIME = 16,
	ENTRY_LENGTH = 24,
	ENTRY_DIGEST = 32,
	ENTRY_DATA = 48,
	ENTRY_PARENT = 56,
	ENTRY_SUM = 60,

	FLAG_OPAQUE = 1,
	FLAG_OBJECT = 2,
	FLAGS_KNOWN = FLAG_OPAQUE | FLAG_OBJECT,

	SHA256_ROW = 36, /* u32 entry, 32 bytes */
	OWNER_ROW = 12,  /* u32 entry, u32 uid, u32 gid */
	LINK_ROW = 8,    /* u32 entry, u32 first entry of its group */
	XATTR_ROW = 20,  /* u32 entry, u32 name offset, u32 name size, u32 value offset,
			    u32 size */
	INFO_HEAD = 8,   /* u32 key, u32 size, then the value, padded to 4 */
};

enum section_kind {
	SECTION_ENTRIES = 1,
	SECTION_NAMES = 2,
	SECTION_SUMS = 3,
	SECTION_SHA256 = 4,
	SECTION_RECORD = 5,
	SECTION_INFO = 6,
	SECTION_OWNERS = 7,
	SECTION_LINKS = 8,
	SECTION_XATTRS = 9,
	SECTION_XATTR_BYTES = 10,
	SECTION_KINDS = 11 /* one more than the last */
};
