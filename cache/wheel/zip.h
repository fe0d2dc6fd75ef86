/*
 * The structure of a zip file, checked before anything of it is used: PKWARE's APPNOTE,
 * less everything that lets two readers see two contents. Central directory and local
 * headers must agree in every field, members must follow each other without a gap from
 * byte 0 to the central directory, and nothing may stand before, between or behind. The
 * rules are numbered in ARCHITECTURE.md; each refusal names its rule in words. Immutable
 * after zip_open(): any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"

struct zip_limits {
	uint64_t members;    /* most members */
	uint64_t directory;  /* largest central directory, bytes */
	uint64_t total;      /* largest sum of unpacked sizes, bytes */
	uint64_t bomb_size;  /* from this unpacked total on ... */
	uint64_t bomb_ratio; /* ... at most this many times the packed size */
};

/* The ratio rule is the one that PyPI applies to uploads. */
#define ZIP_LIMITS_DEFAULT                                 \
	((struct zip_limits){ .members = 1000000,          \
			      .directory = 256 << 20,      \
			      .total = UINT64_C(64) << 30, \
			      .bomb_size = 64 << 20,       \
			      .bomb_ratio = 50 })

enum { ZIP_STORED = 0, ZIP_DEFLATED = 8 };

struct zip_member {
	const char *name; /* NUL-terminated UTF-8; a directory's ends with '/' */
	uint16_t name_size;
	uint16_t method;
	uint16_t flags;
	bool is_directory;
	bool is_executable;
	uint32_t crc;
	uint64_t packed, size; /* bytes */
	uint64_t header;       /* offset of the local header */
	uint64_t data;         /* offset of the packed bytes */
	uint64_t end;          /* offset behind the packed bytes and the descriptor */
};

struct zip {
	struct zip_member *members; /* in the order of their offsets */
	uint32_t count;
	uint32_t *by_name;  /* members sorted by name */
	uint64_t total;     /* sum of unpacked sizes */
	uint8_t *directory; /* the central directory's bytes */
	uint64_t directory_at, directory_size;
	char *names;
};

/* -EBADMSG with a text that names the rule. `size` is the file's. fd is borrowed. */
int zip_open(int fd, uint64_t size, const struct zip_limits *limits, struct zip *ret,
	     struct error *reterr);
void zip_release(struct zip *zip);

/* The member of that name, or NULL. */
const struct zip_member *zip_find(const struct zip *zip, const char *name);
