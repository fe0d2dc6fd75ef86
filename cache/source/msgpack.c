#include "cache/source/msgpack.h"

#include "cache/base/library.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* Its header has prototypes of old style, and a `bool` of its own. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <mpack.h>
#pragma GCC diagnostic pop

/* The functions that are used, loaded once for the process. */
static struct {
	__typeof__(mpack_tokbuf_init) *init;
	__typeof__(mpack_read) *read;
} library;
static const char *missing;

static void load(void)
{
	static const char *const names[] = { "mpack_tokbuf_init", "mpack_read", NULL };
	missing = library_load(VENVFS_LIBMPACK, names, &library);
}

bool msgpack_is_there(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, load);
	return !missing;
}

ssize_t msgpack_pread_fd(const void *context, void *ret_bytes, size_t size,
			 uint64_t offset)
{
	const int *fd = context;
	ssize_t n;
	do {
		n = pread(*fd, ret_bytes, size, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t msgpack_pread_memory(const void *context, void *ret_bytes, size_t size,
			     uint64_t offset)
{
	const struct msgpack_memory *memory = context;
	if (offset >= memory->size)
		return 0;
	size_t left = memory->size - (size_t)offset;
	size = size < left ? size : left;
	memcpy(ret_bytes, memory->bytes + offset, size);
	return (ssize_t)size;
}

static void set_kind(const mpack_token_t *token, struct msgpack_token *ret)
{
	ret->number = token->length;
	switch (token->type) {
	case MPACK_TOKEN_NIL:
		ret->kind = MSGPACK_NIL;
		break;
	case MPACK_TOKEN_BOOLEAN:
		ret->kind = MSGPACK_BOOLEAN;
		break;
	case MPACK_TOKEN_UINT:
		ret->kind = MSGPACK_NUMBER;
		ret->number = (uint64_t)token->data.value.hi << 32 | token->data.value.lo;
		break;
	case MPACK_TOKEN_ARRAY:
		ret->kind = MSGPACK_ARRAY;
		break;
	case MPACK_TOKEN_MAP:
		ret->kind = MSGPACK_MAP;
		break;
	case MPACK_TOKEN_STR:
	case MPACK_TOKEN_BIN:
		ret->kind = MSGPACK_TEXT;
		break;
	case MPACK_TOKEN_SINT:
	case MPACK_TOKEN_FLOAT:
	case MPACK_TOKEN_CHUNK:
	case MPACK_TOKEN_EXT:
	default:
		ret->kind = MSGPACK_OTHER;
		break;
	}
}

int msgpack_next(struct msgpack *m, struct msgpack_token *ret)
{
	char bytes[MPACK_MAX_TOKEN_LEN];
	mpack_tokbuf_t buffer;
	mpack_token_t token;
	ssize_t n = m->pread(m->context, bytes, sizeof(bytes), m->at);
	if (!msgpack_is_there())
		return -ENOSYS;
	if (n <= 0)
		return n < 0 ? (int)n : -EBADMSG;
	const char *p = bytes;
	size_t left = (size_t)n;
	library.init(&buffer);
	if (library.read(&buffer, &p, &left, &token) != MPACK_OK)
		return -EBADMSG;
	*ret = (struct msgpack_token){ .offset = m->at + (uint64_t)(p - bytes) };
	set_kind(&token, ret);
	m->at = ret->offset;
	bool has_bytes = ret->kind == MSGPACK_TEXT || token.type == MPACK_TOKEN_EXT;
	if (!has_bytes || token.length == 0)
		return 0;
	/* All of them must be there. */
	m->at += token.length;
	n = m->pread(m->context, bytes, 1, m->at - 1);
	return n == 1 ? 0 : n < 0 ? (int)n : -EBADMSG;
}

int msgpack_skip(struct msgpack *m)
{
	/* Every token takes a byte at least, so it ends with the bytes. */
	for (uint64_t left = 1; left > 0; left--) {
		struct msgpack_token token = { .kind = MSGPACK_NIL };
		int r = msgpack_next(m, &token);
		if (r < 0)
			return r;
		left += msgpack_children(&token);
	}
	return 0;
}

bool msgpack_text(const struct msgpack *m, const struct msgpack_token *token,
		  char *ret_text, size_t room)
{
	if (token->kind != MSGPACK_TEXT || token->number >= room)
		return false;
	size_t size = (size_t)token->number;
	if (m->pread(m->context, ret_text, size, token->offset) != (ssize_t)size ||
	    memchr(ret_text, '\0', size))
		return false;
	ret_text[size] = '\0';
	return true;
}
