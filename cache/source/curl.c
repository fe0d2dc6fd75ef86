#include "cache/source/curl.h"

#include "cache/base/library.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

/* Loaded once for the process and never changed afterwards. */
static struct curl library;
static const char *missing;

static void load(void)
{
#define NAME(name) #name,
	static const char *const names[] = { CURL_FUNCTIONS(NAME) NULL };
	missing = library_load(VENVFS_LIBCURL, names, &library);
	if (!missing && library.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		missing = "curl_global_init";
}

const struct curl *curl_library(struct error *reterr)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, load);
	if (!missing)
		return &library;
	(void)error_set(reterr, -ENOSYS,
			"libcurl cannot be used (%s); install it (Debian: libcurl4)",
			missing);
	return NULL;
}
