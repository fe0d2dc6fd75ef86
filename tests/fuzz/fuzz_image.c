/*
 * Any bytes as an image: opening, checking and walking it as a server would. Once as they
 * are, which the sums of pages stop early, and once with all sums made right, so that the
 * checks behind them are reached.
 */
#include "tests/fuzz/fuzz.h"

#include "cache/store/format.h"
#include "cache/store/image.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16, ENTRIES_MOST = 2000, MOST = 200 };

static void look_at_entry(struct image *image, const struct entry *e, void *scratch)
{
	struct image_bytes bytes;
	struct entry found;
	const char *target;
	struct sha256 sha256;
	uint32_t a;
	uint32_t b;
	struct xattr xattr;
	cleanup_buffer struct buffer path = BUFFER_INIT;
	(void)image_path(image, e->number, &path);
	(void)image_lookup(image, e->parent, e->name, e->name_size, &found);
	(void)image_sha256(image, e->number, &sha256);
	(void)image_owner(image, e->number, &a, &b);
	(void)image_hard_link(image, e->number, &a);
	(void)image_xattr(image, e->number, 0, &xattr);
	if (e->type == ENTRY_SYMLINK && image_readlink(image, e, &target) == 0 &&
	    e->size > 0) {
		volatile char last = target[e->size - 1];
		(void)last;
	}
	if (e->type == ENTRY_FILE) {
		(void)image_read(image, e, 0, READ_SIZE, scratch, &bytes);
		(void)image_read(image, e, e->size / 2, READ_SIZE, scratch, &bytes);
	}
}

static void walk(struct image *image)
{
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(READ_SIZE));
	struct entry e;
	struct info info;
	uint32_t cursor = 0;
	const char *record;
	size_t size;
	uint32_t count = image_count(image);
	for (uint32_t i = 0; scratch && i < count && i < ENTRIES_MOST; i++) {
		if (image_entry(image, i, &e) == 0)
			look_at_entry(image, &e, scratch);
	}
	for (int i = 0; i < MOST && image_info_next(image, &cursor, &info) > 0; i++)
		;
	(void)image_record(image, &record, &size);
	(void)image_resolve(image, "site-packages/a/b", &e);
}

static void repair_sums(uint8_t *image, uint64_t size)
{
	if (size < HEAD_TABLE)
		return;
	uint64_t meta = load_le64(image + HEAD_META_SIZE);
	uint64_t body = load_le64(image + HEAD_BODY);
	uint64_t sums =
	    HEAD_TABLE + (uint64_t)load_le32(image + HEAD_SECTIONS) * SECTION_SIZE;
	if (meta > size || body > meta || body < HEAD_TABLE)
		return;
	for (uint64_t at = body; at < meta; at += FORMAT_PAGE) {
		uint64_t page = meta - at < FORMAT_PAGE ? meta - at : FORMAT_PAGE;
		uint64_t sum = sums + (at - body) / FORMAT_PAGE * 8;
		if (!range_inside(sum, 8, body))
			return;
		store_le64(image + sum, digest_sum64(image + at, page));
	}
	store_le64(image + HEAD_SUM, 0);
	store_le64(image + HEAD_SUM, digest_sum64(image, body));
}

static void try_image(const uint8_t *data, size_t size)
{
	cleanup_fd int fd = memfd_create("image", MFD_CLOEXEC);
	CLEANUP(image_freep) struct image *image = NULL;
	if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
	    image_open(fd, 0, size, -1, &image, NULL) < 0)
		return;
	walk(image);
	(void)image_check(image, true, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free uint8_t *repaired = malloc(size ? size : 1);
	try_image(data, size);
	if (!repaired || size == 0)
		return 0;
	memcpy(repaired, data, size);
	repair_sums(repaired, size);
	try_image(repaired, size);
	return 0;
}
