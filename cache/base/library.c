#include "cache/base/library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

const char *library_load(const char *soname, const char *const *names,
			 void *ret_functions)
{
	char *functions = ret_functions;
	void *handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return soname;
	for (size_t i = 0; names[i]; i++) {
		void *symbol = dlsym(handle, names[i]);
		if (!symbol)
			return names[i];
		memcpy(functions + i * sizeof(symbol), &symbol, sizeof(symbol));
	}
	return NULL;
}
