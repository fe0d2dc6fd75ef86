#include "cache/source/curl.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

/* Loaded once for the process and never changed afterwards. */
static struct curl library;

static void *find_symbol(const char *name)
{
	void *symbol = dlsym(library.handle, name);
	if (!symbol)
		library.missing = name;
	return symbol;
}

static void load(void)
{
	library.handle = dlopen(VENVFS_LIBCURL, RTLD_NOW | RTLD_LOCAL);
	if (!library.handle) {
		library.missing = VENVFS_LIBCURL;
		return;
	}
#define LOAD(name)                                              \
	{                                                       \
		void *symbol = find_symbol(#name);              \
		memcpy(&library.name, &symbol, sizeof(symbol)); \
	}
	CURL_FUNCTIONS(LOAD)
	if (!library.missing && library.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		library.missing = "curl_global_init";
}

const struct curl *curl_library(struct error *reterr)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, load);
	if (!library.missing)
		return &library;
	(void)error_set(reterr, -ENOSYS,
			"libcurl cannot be used (%s); install it (Debian: libcurl4)",
			library.missing);
	return NULL;
}
