/* Any bytes as an entry of pip's cache: a body that it names can be told from what is not
 * there by reading it. */
#include "tests/fuzz/fuzz.h"

#include "cache/source/pip_entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msgpack_memory memory = { data, size };
	struct msgpack m = { .pread = msgpack_pread_memory, .context = &memory };
	struct pip_entry entry;
	uint8_t byte;
	if (pip_entry_parse(&m, &entry) < 0)
		return 0;
	/* Parsed to its end: what it names is within. */
	if (entry.body > size || entry.body_size > size - entry.body)
		__builtin_trap();
	if (entry.body_size > 0 &&
	    msgpack_pread_memory(&memory, &byte, 1, entry.body + entry.body_size - 1) !=
		1)
		__builtin_trap();
	return 0;
}
