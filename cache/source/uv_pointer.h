/*
 * uv's pointers: small files beside each wheel that it cached, which say in which folder
 * of archive-v0 it lies unpacked, and what its hashes are. Any thread.
 */
#pragma once

#include "cache/base/digest.h"
#include "cache/source/msgpack.h"

struct uv_pointer {
	char id[64];         /* a plain name */
	char file_name[256]; /* demo-1.0-py3-none-any.whl */
	uint64_t version;    /* of the bucket that the folder is in */
	bool has_sha256;
	struct sha256 sha256; /* of the .whl */
	uint64_t size;        /* of the .whl; 0: not known */
};

/*
 * `is_rev`: of a local file (.rev), where a time stamp comes first; else of one that was
 * fetched (.http), where uv's own cache policy follows. -EBADMSG: it is none that is
 * known here: as good as none.
 */
int uv_pointer_parse(struct msgpack *m, bool is_rev, struct uv_pointer *ret);
