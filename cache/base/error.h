/*
 * The text of an error, for people. Functions that read user input or the host take an
 * optional last parameter `struct error *reterr` (NULL: no text wanted) beside the
 * negative errno they return. A text is one line: what failed, on what, why, and what
 * helps.
 */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct error {
	char text[1024];
};

#define ERROR_INIT ((struct error){ .text = "" })

/*
 * Writes the text (control characters of it become '?', so that it stays one line
 * whatever a file name holds) and returns `code`, which must be negative: `return
 * error_set(...)`.
 */
__attribute__((format(printf, 3, 4))) int error_set(struct error *reterr, int code,
						    const char *format, ...);

/* As error_set(), with ": " and what strerror() says of `code` at the end. */
__attribute__((format(printf, 3, 4))) int error_errno(struct error *reterr, int code,
						      const char *format, ...);

/* Puts "text: " before a text that is already there (or the strerror() of `code`). */
__attribute__((format(printf, 3, 4))) int error_prefix(struct error *reterr, int code,
						       const char *format, ...);

/* The text, or what strerror() says of `code` when nobody wrote one. Borrowed from `err`.
 */
const char *error_text(struct error *err, int code);

#ifdef __cplusplus
}
#endif
