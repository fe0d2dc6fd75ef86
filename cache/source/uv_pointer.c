/*
 * uv writes structs as arrays of their fields or as maps, and has changed from one to the
 * other and back; both are read. An Archive is id, hashes, filename, version and, in
 * later versions, size. A hash is {"Sha256": hex} or ["Sha256", hex].
 */
#include "cache/source/uv_pointer.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

enum field { FIELD_ID, FIELD_HASHES, FIELD_FILE_NAME, FIELD_VERSION, FIELD_SIZE, FIELDS };

static const char *const field_names[FIELDS] = { "id", "hashes", "filename", "version",
						 "size" };

static int read_hashes(struct msgpack *m, struct uv_pointer *ret)
{
	bool is_sha256 = false;
	for (uint64_t left = 1; left > 0; left--) {
		struct msgpack_token token;
		char text[80];
		int r = msgpack_next(m, &token);
		if (r < 0)
			return r;
		left += msgpack_children(&token);
		if (!msgpack_text(m, &token, text, sizeof(text)))
			continue;
		if (is_sha256 && sha256_parse(text, &ret->sha256))
			ret->has_sha256 = true;
		is_sha256 = strcasecmp(text, "sha256") == 0;
	}
	return 0;
}

static int read_text(struct msgpack *m, char *ret_text, size_t room)
{
	struct msgpack_token token;
	int r = msgpack_next(m, &token);
	if (r < 0)
		return r;
	return msgpack_text(m, &token, ret_text, room) ? 0 : -EBADMSG;
}

static int read_number(struct msgpack *m, uint64_t *ret)
{
	struct msgpack_token token;
	int r = msgpack_next(m, &token);
	if (r == 0 && token.kind == MSGPACK_NUMBER)
		*ret = token.number;
	return r;
}

static int read_field(struct msgpack *m, enum field field, struct uv_pointer *ret)
{
	switch (field) {
	case FIELD_ID:
		return read_text(m, ret->id, sizeof(ret->id));
	case FIELD_HASHES:
		return read_hashes(m, ret);
	case FIELD_FILE_NAME:
		return read_text(m, ret->file_name, sizeof(ret->file_name));
	case FIELD_VERSION:
		return read_number(m, &ret->version);
	case FIELD_SIZE:
		return read_number(m, &ret->size);
	case FIELDS:
	default:
		return msgpack_skip(m);
	}
}

static enum field field_of(struct msgpack *m, const struct msgpack_token *key)
{
	char text[16];
	for (int i = 0; msgpack_text(m, key, text, sizeof(text)) && i < FIELDS; i++) {
		if (strcmp(text, field_names[i]) == 0)
			return (enum field)i;
	}
	return FIELDS;
}

static int read_archive(struct msgpack *m, struct uv_pointer *ret)
{
	struct msgpack_token token;
	int r = msgpack_next(m, &token);
	if (r < 0)
		return r;
	if (token.kind != MSGPACK_ARRAY && token.kind != MSGPACK_MAP)
		return -EBADMSG;
	for (uint64_t i = 0; r == 0 && i < token.number; i++) {
		enum field field = i < FIELDS ? (enum field)i : FIELDS;
		struct msgpack_token key;
		if (token.kind == MSGPACK_MAP) {
			r = msgpack_next(m, &key);
			field = r == 0 ? field_of(m, &key) : FIELDS;
		}
		if (r == 0)
			r = read_field(m, field, ret);
	}
	return r;
}

/* [time stamp, archive], or {"timestamp": ..., "archive": ...}. */
static int read_local(struct msgpack *m, struct uv_pointer *ret)
{
	struct msgpack_token token;
	int r = msgpack_next(m, &token);
	if (r < 0)
		return r;
	if (token.kind == MSGPACK_ARRAY && token.number >= 2) {
		r = msgpack_skip(m);
		return r < 0 ? r : read_archive(m, ret);
	}
	if (token.kind != MSGPACK_MAP)
		return -EBADMSG;
	for (uint64_t i = 0; r == 0 && i < token.number; i++) {
		char key[16];
		r = read_text(m, key, sizeof(key));
		if (r == 0)
			r = strcmp(key, "archive") == 0 ? read_archive(m, ret)
							: msgpack_skip(m);
	}
	return r;
}

static bool is_id(const char *id)
{
	for (const char *p = id; *p; p++) {
		if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-')
			return false;
	}
	return *id != '\0';
}

int uv_pointer_parse(struct msgpack *m, bool is_rev, struct uv_pointer *ret)
{
	struct uv_pointer pointer = { .version = UINT64_MAX };
	int r = is_rev ? read_local(m, &pointer) : read_archive(m, &pointer);
	if (r == 0 && (!is_id(pointer.id) || !pointer.file_name[0] ||
		       strchr(pointer.file_name, '/')))
		r = -EBADMSG;
	if (r == 0)
		*ret = pointer;
	return r;
}
