/*
 * TOML read as JSON, so that all documents are taken apart in one way; the only door to
 * toml++, and the only C++ here. No exception crosses it. Any thread.
 */
#pragma once

#include "cache/base/error.h"
#include "cache/base/json.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Parses a document of at most 64 MiB; the caller's reference. Dates and times become
 * null, and so do infinities. -EBADMSG with a text that names line and column.
 */
int toml_parse(const void *bytes, size_t size, json_t **ret_object, struct error *reterr);

#ifdef __cplusplus
}
#endif
