/* Any bytes as a page of an index in HTML: what is taken from it is whole. */
#include "tests/fuzz/fuzz.h"

#include "cache/source/simple.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct simple_page page;
	if (simple_parse_html(data, size, &page, NULL) < 0)
		return 0;
	for (size_t i = 0; i < page.count; i++) {
		const struct simple_file *f = &page.files[i];
		if (!*f->name || strchr(f->name, '/') || strchr(f->url, '#') ||
		    f->bytes.size != -1)
			__builtin_trap();
		for (size_t k = 0; k < f->bytes.other_count; k++) {
			const char *hex = f->bytes.others[k].hex;
			if (strspn(hex, "0123456789abcdef") != strlen(hex))
				__builtin_trap();
		}
	}
	simple_page_release(&page);
	return 0;
}
