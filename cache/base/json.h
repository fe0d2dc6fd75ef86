/*
 * JSON; the only door to jansson. Who needs a value includes this header, which adds what
 * reading untrusted documents needs: limits, and members taken with their type checked.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/bytes.h"
#include "cache/base/cleanup.h"

static inline void cleanup_json_fn(json_t **value)
{
	json_decref(*value);
}
#define cleanup_json CLEANUP(cleanup_json_fn)

/* Parses an object (nothing else) of at most 16 MiB; -EBADMSG otherwise. Caller's
 * reference. */
int json_parse_object(const void *bytes, size_t size, json_t **ret_object);
/* Appends the value as compact text with sorted keys, or indented by two when `pretty`.
 */
int json_print(const json_t *value, bool pretty, struct buffer *out);

/* A member of that type, or NULL / `otherwise`. Borrowed from the object. */
const char *json_get_text(const json_t *object, const char *key);
/* A copy of it, which the caller frees; NULL: there is none. -ENOMEM. */
int json_copy_text(const json_t *object, const char *key, char **ret_text);
int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise);
bool json_get_bool(const json_t *object, const char *key, bool otherwise);
