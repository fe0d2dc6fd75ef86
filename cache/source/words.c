#include "cache/source/words.h"

#include "cache/base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int words_each(const char *text, const char *separators, words_take *take, void *context)
{
	cleanup_free char *copy = strdup(text ? text : "");
	char *rest = copy;
	int r = copy ? 0 : -ENOMEM;
	while (r == 0 && rest) {
		const char *word = strsep(&rest, separators);
		if (*word)
			r = take(context, word);
	}
	return r;
}

char char_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

char char_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool word_is_on(const char *word)
{
	static const char *const words[] = { "1", "true", "yes", "on", "t", "y" };
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcasecmp(word, words[i]) == 0)
			return true;
	}
	return false;
}

unsigned word_number(const char *word, unsigned otherwise)
{
	char *end;
	if (!word || *word < '0' || *word > '9')
		return otherwise;
	unsigned long number = strtoul(word, &end, 10);
	/* pip's timeouts may have a fraction. */
	bool ok = (*end == '\0' || *end == '.') && number <= 1000000;
	return ok ? (unsigned)number : otherwise;
}
