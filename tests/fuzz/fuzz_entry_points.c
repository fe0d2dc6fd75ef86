/* Any bytes as entry_points.txt: no name that was taken may leave bin/. */
#include "tests/fuzz/fuzz.h"

#include "cache/wheel/entry_points.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct entry_points points;
	if (entry_points_parse((const char *)data, size, &points, NULL) < 0)
		return 0;
	for (size_t i = 0; i < points.count; i++) {
		const char *name = points.items[i].name;
		if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 ||
		    strcmp(name, "..") == 0 || is_reserved_script_name(name))
			__builtin_trap();
		if (!*points.items[i].module || !*points.items[i].function)
			__builtin_trap();
	}
	entry_points_release(&points);
	return 0;
}
