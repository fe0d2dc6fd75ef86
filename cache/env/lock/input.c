#include "cache/env/lock/input.h"

#include "cache/base/digest.h"
#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { LARGEST_FILE = 64 << 20 };

void inputs_release(struct inputs *inputs)
{
	json_decref(inputs->files);
	*inputs = (struct inputs){ .files = NULL };
}

static bool is_regular(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static void digest_hex(const struct buffer *text, size_t from,
		       char ret_hex[DIGEST_HEX_SIZE])
{
	const size_t size = text->size - from;
	struct digest digest =
	    digest_of(size ? (const void *)(text->data + from) : "", size);
	digest_format(&digest, ret_hex);
}

static void digest_of_none(char ret_hex[DIGEST_HEX_SIZE])
{
	static const struct digest none;
	digest_format(&none, ret_hex);
}

/* A file that was read before must have been the same then. */
static int note(struct inputs *inputs, const char *path, const char *hex)
{
	size_t i;
	json_t *file;
	json_array_foreach(inputs->files, i, file)
	{
		const char *before = json_string_value(json_array_get(file, 0));
		if (!before || strcmp(before, path) != 0)
			continue;
		const char *known = json_string_value(json_array_get(file, 1));
		inputs->passing |= !known || strcmp(known, hex) != 0;
		return 0;
	}
	if (!inputs->files)
		inputs->files = json_array();
	json_t *pair = inputs->files ? json_pack("[ss]", path, hex) : NULL;
	/* A name that is no UTF-8 cannot be noted; then nothing is remembered. */
	inputs->passing |= inputs->files && !pair;
	return pair && json_array_append_new(inputs->files, pair) < 0 ? -ENOMEM : 0;
}

int inputs_read(struct inputs *inputs, const char *path, struct buffer *out)
{
	const size_t from = out->size;
	char hex[DIGEST_HEX_SIZE];
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0);
	int r = fd < 0 ? fd : file_read_to_end(fd, LARGEST_FILE, out);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r < 0) {
		digest_of_none(hex);
		return note(inputs, path, hex) < 0 ? -ENOMEM : r;
	}
	const size_t size = out->size - from;
	inputs->passing |= !is_regular(fd) ||
			   (size > 0 && memmem(out->data + from, size, "${", 2) != NULL);
	digest_hex(out, from, hex);
	return note(inputs, path, hex);
}

static bool is_same(const char *path, const char *known)
{
	char hex[DIGEST_HEX_SIZE];
	cleanup_buffer struct buffer text = BUFFER_INIT;
	/* Opened so, a fifo without a writer is not waited for. */
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd == -ENOENT)
		digest_of_none(hex);
	else if (fd < 0 || !is_regular(fd) ||
		 file_read_to_end(fd, LARGEST_FILE, &text) < 0)
		return false;
	else
		digest_hex(&text, 0, hex);
	return strcmp(hex, known) == 0;
}

bool inputs_are_same(const json_t *files)
{
	size_t i;
	json_t *file;
	json_array_foreach(files, i, file)
	{
		const char *path = json_string_value(json_array_get(file, 0));
		const char *known = json_string_value(json_array_get(file, 1));
		if (!path || !known || !is_same(path, known))
			return false;
	}
	return json_is_array(files);
}
