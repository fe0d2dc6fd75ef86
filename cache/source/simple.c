#include "cache/source/simple.h"

#include "cache/source/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MOST = 1000000, HASHES_MOST = 8 };

void simple_file_release(struct simple_file *f)
{
	free(f->name);
	free(f->url);
	free(f->requires_python);
	wanted_bytes_release(&f->bytes);
	*f = (struct simple_file){ .name = NULL };
}

void simple_page_release(struct simple_page *page)
{
	for (size_t i = 0; i < page->count; i++)
		simple_file_release(&page->files[i]);
	free(page->files);
	free(page->base);
	*page = (struct simple_page){ .files = NULL };
}

/* Room for twice as many whenever the count is a power of two. */
int simple_page_add(struct simple_page *page, struct simple_file *file)
{
	size_t n = page->count;
	int r = n < FILES_MOST ? 0 : -EBADMSG;
	if (r == 0 && (n & (n - 1)) == 0) {
		struct simple_file *more =
		    reallocarray(page->files, n ? 2 * n : 1, sizeof(*more));
		if (more)
			page->files = more;
		else
			r = -ENOMEM;
	}
	if (r < 0) {
		simple_file_release(file);
		return r;
	}
	page->files[page->count++] = *file;
	*file = (struct simple_file){ .name = NULL };
	return 0;
}

static bool is_hex(const char *text)
{
	size_t size = strspn(text, "0123456789abcdef");
	return size > 0 && size <= 128 && text[size] == '\0';
}

static int add_other(struct wanted_bytes *bytes, const char *algorithm, const char *hex)
{
	if (bytes->other_count >= HASHES_MOST)
		return 0;
	struct wanted_hash *more =
	    reallocarray(bytes->others, bytes->other_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	bytes->others = more;
	struct wanted_hash hash = { strdup(algorithm), strdup(hex) };
	if (!hash.algorithm || !hash.hex) {
		free(hash.algorithm);
		free(hash.hex);
		return -ENOMEM;
	}
	more[bytes->other_count++] = hash;
	return 0;
}

int simple_file_add_hash(struct simple_file *f, const char *algorithm, const char *hex)
{
	char lower[129];
	size_t size = strlen(hex);
	if (size >= sizeof(lower) || strlen(algorithm) > 32)
		return 0;
	for (size_t i = 0; i <= size; i++)
		lower[i] = char_lower(hex[i]);
	if (!is_hex(lower))
		return 0;
	if (strcmp(algorithm, "sha256") != 0)
		return add_other(&f->bytes, algorithm, lower);
	f->bytes.has_sha256 = sha256_parse(lower, &f->bytes.sha256);
	return 0;
}
