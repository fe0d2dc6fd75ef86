/*
 * UTF-8, strictly: no overlong forms, no surrogates, nothing beyond U+10FFFF. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The next code point, *text behind it; 0 at the end, -1 for what is no UTF-8. */
int32_t utf8_next(const char **text, const char *end);

bool utf8_is_valid(const char *text, size_t size);
