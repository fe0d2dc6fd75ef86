/* Lists and switches in settings. Any thread. */
#pragma once

#include <stdbool.h>

/* Calls `take` for each word of `text` (NULL: none) between separators; stops at what is
 * not 0. */
typedef int words_take(void *context, const char *word);
int words_each(const char *text, const char *separators, words_take *take, void *context);

/* ASCII only, whatever the locale. */
char char_lower(char c);
char char_upper(char c);

/* "1", "true", "yes", "on" and so on. */
bool word_is_on(const char *word);
/* A number of the text, or `otherwise` when it is none or NULL. */
unsigned word_number(const char *word, unsigned otherwise);
