/*
 * Runs a fuzz target without libFuzzer: over each file of a corpus folder as it is, and
 * over 64 variants of it that are damaged in reproducible ways, so that even a gcc build
 * with sanitizers looks beyond the corpus.
 */
#include "tests/fuzz/fuzz.h"

#include "cache/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VARIANTS = 64, LARGEST = 16 << 20 };

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

/* A byte changed, a run of bytes copied elsewhere, or the end cut off. */
static void damage(uint8_t *bytes, size_t *size, uint64_t *state)
{
	size_t at = *size ? next_random(state) % *size : 0;
	size_t other = *size ? next_random(state) % *size : 0;
	size_t run = next_random(state) % 16;
	switch (next_random(state) % 3) {
	case 0:
		if (*size > 0)
			bytes[at] ^= (uint8_t)(1u << next_random(state) % 8);
		break;
	case 1:
		if (at + run <= *size && other + run <= *size)
			memmove(bytes + at, bytes + other, run);
		break;
	default:
		*size = at;
	}
}

static int run_file(int dirfd, const char *name)
{
	cleanup_buffer struct buffer input = BUFFER_INIT;
	uint64_t state = 1;
	int r = file_read_at(dirfd, name, LARGEST, &input);
	if (r < 0)
		return r;
	(void)LLVMFuzzerTestOneInput(input.data, input.size);
	for (int i = 0; i < VARIANTS; i++) {
		/* A block of exactly that size, so that a read beyond it is seen. */
		size_t size = input.size;
		cleanup_free uint8_t *copy = malloc(size ? size : 1);
		if (!copy)
			return -1;
		if (size > 0)
			memcpy(copy, input.data, size);
		for (uint64_t k = 0; k <= next_random(&state) % 4; k++)
			damage(copy, &size, &state);
		(void)LLVMFuzzerTestOneInput(copy, size);
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t count = 0;
	for (int i = 1; i < argc; i++) {
		cleanup_fd int fd = file_open(AT_FDCWD, argv[i], O_RDONLY, 0);
		cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
		const struct dirent *entry;
		while (dir && (entry = readdir(dir)) != NULL) {
			if (entry->d_name[0] == '.')
				continue;
			count++;
			if (run_file(fd, entry->d_name) < 0)
				return 1;
		}
	}
	printf("%zu inputs, %d variants of each\n", count, VARIANTS);
	return count > 0 ? 0 : 1;
}
