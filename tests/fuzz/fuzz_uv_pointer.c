/* Any bytes as a pointer of uv, of both kinds: what it names stays in its folder. */
#include "tests/fuzz/fuzz.h"

#include "cache/source/uv_pointer.h"

#include <string.h>

static void parse(const uint8_t *data, size_t size, bool is_rev)
{
	struct msgpack_memory memory = { data, size };
	struct msgpack m = { .pread = msgpack_pread_memory, .context = &memory };
	struct uv_pointer pointer;
	if (uv_pointer_parse(&m, is_rev, &pointer) < 0)
		return;
	if (!pointer.id[0] || strpbrk(pointer.id, "/.") || !pointer.file_name[0] ||
	    strchr(pointer.file_name, '/') || m.at > size)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse(data, size, false);
	parse(data, size, true);
	return 0;
}
