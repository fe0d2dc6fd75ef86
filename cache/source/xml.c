#include "cache/source/xml.h"

#include "cache/base/library.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

/* Loaded once for the process and never changed afterwards. */
static struct xml library;
static const char *missing;

static void load(void)
{
#define NAME(name) #name,
	static const char *const names[] = { XML_FUNCTIONS(NAME) NULL };
	missing = library_load(VENVFS_LIBXML, names, &library);
}

const struct xml *xml_library(struct error *reterr)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, load);
	if (!missing)
		return &library;
	(void)error_set(reterr, -ENOSYS,
			"libxml2 cannot be used (%s); install it (Debian: libxml2)",
			missing);
	return NULL;
}
