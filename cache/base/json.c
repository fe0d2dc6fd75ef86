#include "cache/base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_DOCUMENT = 16 << 20 };

int json_parse_object(const void *bytes, size_t size, json_t **ret_object)
{
	if (size > LARGEST_DOCUMENT)
		return -EBADMSG;
	cleanup_json json_t *value =
	    json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(value))
		return -EBADMSG;
	*ret_object = steal_ptr(value);
	return 0;
}

int json_print(const json_t *value, bool pretty, struct buffer *out)
{
	size_t flags = JSON_SORT_KEYS | JSON_ENCODE_ANY |
		       (pretty ? JSON_INDENT(2) : (size_t)JSON_COMPACT);
	cleanup_free char *text = json_dumps(value, flags);
	return text ? buffer_append(out, text, strlen(text)) : -ENOMEM;
}

const char *json_get_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

int json_copy_text(const json_t *object, const char *key, char **ret_text)
{
	const char *text = json_get_text(object, key);
	*ret_text = text ? strdup(text) : NULL;
	return text && !*ret_text ? -ENOMEM : 0;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise)
{
	const json_t *member = json_object_get(object, key);
	return json_is_integer(member) ? (int64_t)json_integer_value(member) : otherwise;
}

bool json_get_bool(const json_t *object, const char *key, bool otherwise)
{
	const json_t *member = json_object_get(object, key);
	return json_is_boolean(member) ? json_is_true(member) : otherwise;
}
