/* Any bytes as RECORD: what is parsed can be found again, and written and read back. */
#include "tests/fuzz/fuzz.h"

#include "cache/wheel/record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record record;
	struct record again;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	if (record_parse((const char *)data, size, &record, NULL) < 0)
		return 0;
	for (uint32_t i = 0; i < record.count; i++) {
		const struct record_row *row = &record.rows[i];
		if (record_find(&record, row->path) != row)
			__builtin_trap();
		(void)record_append(&text, row->path, row->has_hash ? &row->sha256 : NULL,
				    row->size);
	}
	if (record_parse((const char *)text.data, text.size, &again, NULL) < 0 ||
	    again.count != record.count)
		__builtin_trap();
	for (uint32_t i = 0; i < record.count; i++) {
		if (strcmp(record.rows[i].path, again.rows[i].path) != 0)
			__builtin_trap();
	}
	record_release(&record);
	record_release(&again);
	return 0;
}
