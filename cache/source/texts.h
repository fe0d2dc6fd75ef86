/* A growing list of strings that belong to it. Private to cache/source. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* -ENOMEM, and the list stays as it was. */
static inline int texts_add(char ***texts, size_t *count, const char *text)
{
	char **more = reallocarray(*texts, *count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	*texts = more;
	more[*count] = strdup(text);
	if (!more[*count])
		return -ENOMEM;
	(*count)++;
	return 0;
}

static inline void texts_free(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}
