/*
 * Unpacking; the only door to libarchive, which is loaded when it is first needed: its
 * shared library costs every start 3 ms of dynamic linking, and `mount` of cached wheels
 * needs none of it. One thread an archive, any number of archives at once.
 */
#pragma once

#include <stdint.h>

#include "cache/base/cleanup.h"
#include "cache/base/error.h"

struct archive_reader;

/*
 * Reads the members that take [start, end) of the zip file fd (borrowed), which are
 * followed by others or by the central directory: do not read on after the last. -ENOSYS:
 * libarchive is not there; the text says what to install.
 */
int archive_open(int fd, uint64_t start, uint64_t end, struct archive_reader **ret,
		 struct error *reterr);
void archive_reader_free(struct archive_reader *reader);
DEFINE_CLEANUP(struct archive_reader *, archive_reader_free);

/* The next member: 1 with its name (borrowed until the next call; NULL when the machine
 * has no UTF-8), 0 at the end. -EBADMSG. */
int archive_next(struct archive_reader *reader, const char **ret_name,
		 struct error *reterr);
/*
 * The next bytes of the member (borrowed until the next call); *ret_size 0 at its end.
 * -EBADMSG: it is damaged, its CRC is wrong.
 */
int archive_read(struct archive_reader *reader, const void **ret_bytes, size_t *ret_size,
		 struct error *reterr);
