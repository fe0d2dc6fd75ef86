#include "cache/source/pip_entry.h"

#include "cache/base/bytes.h"
#include "cache/base/digest.h"
#include "cache/source/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int read_response(struct msgpack *m, struct pip_entry *ret)
{
	struct msgpack_token map;
	int r = msgpack_next(m, &map);
	if (r == 0 && map.kind != MSGPACK_MAP)
		r = -EBADMSG;
	for (uint64_t i = 0; r == 0 && i < map.number; i++) {
		struct msgpack_token key;
		struct msgpack_token value;
		char name[16];
		r = msgpack_next(m, &key);
		if (r < 0)
			break;
		bool known = msgpack_text(m, &key, name, sizeof(name));
		bool is_body = known && strcmp(name, "body") == 0;
		bool is_status = known && strcmp(name, "status") == 0;
		r = is_body || is_status ? msgpack_next(m, &value) : msgpack_skip(m);
		if (r == 0 && is_status && value.kind == MSGPACK_NUMBER)
			ret->status = value.number;
		if (r == 0 && is_body && value.kind == MSGPACK_TEXT) {
			ret->body = value.offset;
			ret->body_size = value.number;
		}
	}
	return r;
}

int pip_entry_parse(struct msgpack *m, struct pip_entry *ret)
{
	static const char version[] = "cc=4,";
	char bytes[sizeof(version) - 1];
	struct pip_entry entry = { .status = 0 };
	struct msgpack_token map;
	if (m->pread(m->context, bytes, sizeof(bytes), m->at) != sizeof(bytes) ||
	    memcmp(bytes, version, sizeof(bytes)) != 0)
		return -EBADMSG;
	m->at += sizeof(bytes);
	int r = msgpack_next(m, &map);
	if (r == 0 && map.kind != MSGPACK_MAP)
		r = -EBADMSG;
	for (uint64_t i = 0; r == 0 && i < map.number; i++) {
		struct msgpack_token key;
		char name[16];
		r = msgpack_next(m, &key);
		if (r == 0)
			r = msgpack_text(m, &key, name, sizeof(name)) &&
				    strcmp(name, "response") == 0
				? read_response(m, &entry)
				: msgpack_skip(m);
	}
	if (r == 0)
		*ret = entry;
	return r;
}

char *pip_entry_path(const char *folder, const char *url)
{
	cleanup_buffer struct buffer key = BUFFER_INIT;
	char hex[SHA224_HEX_SIZE];
	char *path;
	if (url_append_normal(&key, url) < 0)
		return NULL;
	sha224_hex_of(key.data, key.size, hex);
	return asprintf(&path, "%s/%c/%c/%c/%c/%c/%s", folder, hex[0], hex[1], hex[2],
			hex[3], hex[4], hex) < 0
		   ? NULL
		   : path;
}
