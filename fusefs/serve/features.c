#include "fusefs/serve/features.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned bits;
} names[] = {
	{ "no_open", FEATURE_NO_OPEN },
	{ "no_opendir", FEATURE_NO_OPENDIR },
	{ "readdirplus", FEATURE_READDIRPLUS },
	{ "cache_readdir", FEATURE_CACHE_READDIR },
	{ "cache_symlinks", FEATURE_CACHE_SYMLINKS },
	{ "negative", FEATURE_NEGATIVE },
	{ "parallel_dirops", FEATURE_PARALLEL_DIROPS },
	{ "async_read", FEATURE_ASYNC_READ },
	{ "large_reads", FEATURE_LARGE_READS },
	{ "killpriv", FEATURE_KILLPRIV },
	{ "tmpfile", FEATURE_TMPFILE },
	{ "resend", FEATURE_RESEND },
	{ "handles", FEATURE_HANDLES },
	{ "all", ~0u },
};

int features_unmasked(const char *text, unsigned *ret, struct error *reterr)
{
	unsigned masked = 0;
	while (text && *text) {
		size_t size = strcspn(text, ",");
		size_t i = 0;
		while (i < sizeof(names) / sizeof(*names) &&
		       (strlen(names[i].name) != size ||
			memcmp(names[i].name, text, size) != 0))
			i++;
		if (i == sizeof(names) / sizeof(*names))
			return error_set(reterr, -EINVAL,
					 "VENVFS_MASK: there is no feature '%.*s'",
					 (int)size, text);
		masked |= names[i].bits;
		text += size + (text[size] == ',');
	}
	*ret = ~masked;
	return 0;
}
