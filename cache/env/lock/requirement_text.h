/* Private to cache/env/lock: text of requirements files cut into lines and words. */
#pragma once

#include "cache/base/bytes.h"

/*
 * The next line from *p on, with continued ones joined, without its comment, and with
 * ${NAME} replaced where the environment has it. False at the end; *ret_lines: how many
 * lines of the file it took. *ret_error: no memory.
 */
bool requirement_text_next(const char **p, const char *end, struct buffer *ret,
			   unsigned *ret_lines, int *ret_error);

/* Where options begin in it: at a word that begins with a dash. */
size_t requirement_text_options(const char *line);

/*
 * The next word from *p on, as a shell would cut it; the caller frees it. NULL at the end
 * or without memory, which *ret_error tells apart.
 */
char *requirement_text_word(const char **p, int *ret_error);
