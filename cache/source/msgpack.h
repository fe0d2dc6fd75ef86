/*
 * MessagePack, in which uv and pip keep what they know of cached files; the only door to
 * libmpack, which decodes one token at a time and allocates nothing. What a string holds
 * is read when it is wanted and skipped otherwise, however large it is. One thread at a
 * time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As pread(2) of the whole; a negative errno. */
typedef ssize_t msgpack_pread(const void *context, void *ret_bytes, size_t size,
			      uint64_t offset);

struct msgpack {
	msgpack_pread *pread;
	const void *context;
	uint64_t at; /* where the next token begins */
};

enum msgpack_kind {
	MSGPACK_NIL,
	MSGPACK_BOOLEAN,
	MSGPACK_NUMBER, /* not negative */
	MSGPACK_OTHER,  /* a negative number, a float, an extension */
	MSGPACK_ARRAY,
	MSGPACK_MAP,
	MSGPACK_TEXT, /* text or bytes */
};

struct msgpack_token {
	enum msgpack_kind kind;
	uint64_t number; /* the number; members of an array or map; bytes of a text */
	uint64_t offset; /* of a text's bytes */
};

/* Without libmpack, which is loaded when it is first asked for, nothing can be read. */
bool msgpack_is_there(void);

/* -EBADMSG: no token, or the end. A text's bytes are behind the reader then. */
int msgpack_next(struct msgpack *m, struct msgpack_token *ret);
/* How many values an array or a map holds; of what is neither: 0. */
static inline uint64_t msgpack_children(const struct msgpack_token *token)
{
	if (token->kind == MSGPACK_MAP)
		return 2 * token->number;
	return token->kind == MSGPACK_ARRAY ? token->number : 0;
}
/* The value that comes next, whatever it holds. */
int msgpack_skip(struct msgpack *m);
/* A text of less than `room` bytes and without a NUL, NUL-terminated; false otherwise. */
bool msgpack_text(const struct msgpack *m, const struct msgpack_token *token,
		  char *ret_text, size_t room);

/* Readers of a file (context: its descriptor) and of bytes in memory. */
msgpack_pread msgpack_pread_fd;
struct msgpack_memory {
	const uint8_t *bytes;
	size_t size;
};
msgpack_pread msgpack_pread_memory;
