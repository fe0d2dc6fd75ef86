#include "cache/store/image.h"

#include "cache/store/format.h"
#include "cache/store/image_pack.h"
#include "cache/store/image_private.h"
#include "cache/store/lost_page.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Marks the image bad; the result of every check that failed. */
static int damaged(struct image *image)
{
	atomic_store(&image->bad, true);
	return -EBADMSG;
}

static int check_page(struct image *image, uint64_t page)
{
	uint64_t start = image->body + page * FORMAT_PAGE;
	uint64_t size = image->meta_size - start;
	if (size > FORMAT_PAGE)
		size = FORMAT_PAGE;
	uint64_t sum = load_le64(image->map + image->page_sums + page * 8);
	if (digest_sum64(image->map + start, size) != sum)
		return damaged(image);
	/* A page that is lost only now reads as zeros; the handler has raised `bad`. */
	if (atomic_load(&image->bad))
		return -EBADMSG;
	atomic_fetch_or_explicit(&image->checked[page / 64], UINT64_C(1) << (page % 64),
				 memory_order_release);
	return 0;
}

int image_need(struct image *image, uint64_t offset, uint64_t size)
{
	if (atomic_load_explicit(&image->bad, memory_order_relaxed))
		return -EBADMSG;
	if (offset < image->body || !range_inside(offset, size, image->meta_size))
		return damaged(image);
	if (size == 0)
		return 0;
	uint64_t last = (offset - image->body + size - 1) / FORMAT_PAGE;
	for (uint64_t page = (offset - image->body) / FORMAT_PAGE; page <= last; page++) {
		uint64_t bits = atomic_load_explicit(&image->checked[page / 64],
						     memory_order_acquire);
		if (bits >> (page % 64) & 1)
			continue;
		int r = check_page(image, page);
		if (r < 0)
			return r;
	}
	return 0;
}

const uint8_t *image_row(struct image *image, enum section_kind kind, uint64_t i,
			 uint64_t row_size)
{
	const struct section *s = &image->sections[kind];
	if (i >= s->size / row_size)
		return NULL;
	uint64_t at = s->offset + i * row_size;
	return image_need(image, at, row_size) < 0 ? NULL : image->map + at;
}

struct image_place {
	int fd, objects_fd;
	uint64_t offset, size;
	const struct image_pack *pack; /* or NULL */
};

static int map_metadata(struct image *image, uint64_t file_rest, struct error *reterr)
{
	uint8_t head[HEAD_TABLE];
	int r = file_rest < sizeof(head)
		    ? -ENODATA
		    : (pread(image->fd, head, sizeof(head), (off_t)image->offset) ==
			       (ssize_t)sizeof(head)
			   ? 0
			   : -ENODATA);
	if (r < 0 || memcmp(head, FORMAT_MAGIC, 8) != 0)
		return error_set(reterr, -EBADMSG, "this is no venvfs image");
	uint32_t version = load_le32(head + HEAD_VERSION);
	if (version != FORMAT_VERSION || load_le32(head + HEAD_FLAGS) != 0)
		return error_set(reterr, -EBADMSG,
				 "image format version %u is not known to this venvfs",
				 version);
	image->size = load_le64(head + HEAD_IMAGE_SIZE);
	image->meta_size = load_le64(head + HEAD_META_SIZE);
	image->body = load_le64(head + HEAD_BODY);
	if (image->size > file_rest || image->meta_size > image->size ||
	    image->body > image->meta_size || image->body < HEAD_TABLE ||
	    image->body % ENTRY_SIZE != 0)
		return error_set(reterr, -EBADMSG, "the image is cut short or damaged");
	void *map;
	if (image->pack)
		map = (uint8_t *)image->pack->map + image->offset;
	else
		map = mmap(NULL, image->meta_size, PROT_READ, MAP_SHARED, image->fd,
			   (off_t)image->offset);
	if (map == MAP_FAILED)
		return error_errno(reterr, -errno, "cannot map an image");
	image->map = map;
	return lost_page_watch(map, image->meta_size, &image->bad);
}

/* The head with the field of its own sum taken for zeros. */
static bool head_sum_is_right(const struct image *image)
{
	cleanup_free uint8_t *head = malloc(image->body);
	if (!head)
		return false;
	memcpy(head, image->map, image->body);
	uint64_t sum = load_le64(head + HEAD_SUM);
	store_le64(head + HEAD_SUM, 0);
	return digest_sum64(head, image->body) == sum;
}

static int read_section(struct image *image, const uint8_t *row)
{
	uint32_t kind = load_le32(row);
	struct section s = { .offset = load_le64(row + 8), .size = load_le64(row + 16) };
	if (s.offset < image->body || !range_inside(s.offset, s.size, image->meta_size))
		return -EBADMSG;
	if (kind == 0 || kind >= SECTION_KINDS || image->sections[kind].offset)
		return -EBADMSG;
	image->sections[kind] = s;
	return 0;
}

static int read_head(struct image *image)
{
	uint32_t sections = load_le32(image->map + HEAD_SECTIONS);
	uint64_t pages = (image->meta_size - image->body + FORMAT_PAGE - 1) / FORMAT_PAGE;
	if (sections > SECTIONS_MOST ||
	    !range_inside(HEAD_TABLE + (uint64_t)sections * SECTION_SIZE, pages * 8,
			  image->body) ||
	    !head_sum_is_right(image))
		return -EBADMSG;
	image->page_sums = HEAD_TABLE + (uint64_t)sections * SECTION_SIZE;
	image->count = load_le32(image->map + HEAD_ENTRIES);
	memcpy(image->id.bytes, image->map + HEAD_ID, sizeof(image->id.bytes));
	for (uint32_t i = 0; i < sections; i++) {
		int r = read_section(image,
				     image->map + HEAD_TABLE + (size_t)i * SECTION_SIZE);
		if (r < 0)
			return r;
	}
	const struct section *entries = &image->sections[SECTION_ENTRIES];
	if (image->count == 0 || entries->size != (uint64_t)image->count * ENTRY_SIZE ||
	    entries->offset % ENTRY_SIZE != 0 || atomic_load(&image->bad))
		return -EBADMSG;
	image->checked = calloc(pages / 64 + 1, sizeof(*image->checked));
	return image->checked ? 0 : -ENOMEM;
}

static int open_at(const struct image_place *place, struct image **ret_image,
		   struct error *reterr)
{
	CLEANUP(image_freep) struct image *image = calloc(1, sizeof(*image));
	if (!image)
		return -ENOMEM;
	image->fd = place->fd;
	image->objects_fd = place->objects_fd;
	image->offset = place->offset;
	image->pack = place->pack;
	int r = map_metadata(image, place->size, reterr);
	if (r < 0)
		return r;
	r = read_head(image);
	if (r < 0)
		return error_set(reterr, r, "the image's header is damaged");
	*ret_image = steal_ptr(image);
	return 0;
}

int image_open(int fd, uint64_t offset, uint64_t size, int objects_fd,
	       struct image **ret_image, struct error *reterr)
{
	const struct image_place place = {
		.fd = fd, .objects_fd = objects_fd, .offset = offset, .size = size
	};
	return open_at(&place, ret_image, reterr);
}

int image_pack_open(int fd, struct image_pack **ret, struct error *reterr)
{
	CLEANUP(image_pack_freep) struct image_pack *pack = calloc(1, sizeof(*pack));
	struct stat st;
	if (!pack)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return error_errno(reterr, -errno, "cannot map images");
	if (st.st_size == 0)
		return error_set(reterr, -EBADMSG, "there are no images in it");
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return error_errno(reterr, -errno, "cannot map images");
	*pack = (struct image_pack){ .fd = fd, .map = map, .size = (uint64_t)st.st_size };
	*ret = steal_ptr(pack);
	return 0;
}

void image_pack_free(struct image_pack *pack)
{
	if (pack && pack->map)
		(void)munmap(pack->map, pack->size);
	free(pack);
}

int image_open_packed(const struct image_pack *pack, uint64_t offset, uint64_t size,
		      struct image **ret_image, struct error *reterr)
{
	const struct image_place place = { .fd = pack->fd,
					   .objects_fd = -1,
					   .offset = offset,
					   .size = size,
					   .pack = pack };
	if (offset % FORMAT_PAGE != 0 || !range_inside(offset, size, pack->size))
		return error_set(reterr, -EBADMSG, "the image is cut short or damaged");
	return open_at(&place, ret_image, reterr);
}

void image_abandon(struct image *image)
{
	if (!image)
		return;
	if (image->map)
		lost_page_unwatch(image->map);
	free(image->checked);
	free(image);
}

void image_free(struct image *image)
{
	if (!image)
		return;
	void *map;
	memcpy(&map, &image->map, sizeof(map));
	bool is_own = map && !image->pack;
	uint64_t size = image->meta_size;
	if (image->owns_fd)
		(void)close(image->fd);
	image_abandon(image);
	if (is_own)
		(void)munmap(map, size);
}

struct digest image_id(const struct image *image)
{
	return image->id;
}

uint32_t image_count(const struct image *image)
{
	return image->count;
}

bool image_is_bad(const struct image *image)
{
	return atomic_load(&image->bad);
}

static bool entry_is_sane(const struct image *image, const struct entry *e)
{
	if (e->type < ENTRY_DIRECTORY || e->type > ENTRY_ABSENT ||
	    e->parent >= image->count)
		return false;
	if (e->mode > 07777 || e->mtime_nsec > 999999999)
		return false;
	if (e->number == 0)
		return e->type == ENTRY_DIRECTORY && e->name_size == 0 && e->parent == 0;
	/* Breadth first: parents stand before children, so that no walk up can go round.
	 */
	return e->parent < e->number && e->name_size > 0 &&
	       e->name_size <= FORMAT_LONGEST_NAME;
}

static bool extent_is_sane(const struct image *image, const struct entry *e)
{
	const struct section *names = &image->sections[SECTION_NAMES];
	if (e->type == ENTRY_DIRECTORY)
		return e->size == 0 ||
		       (e->first_child > e->number &&
			range_inside(e->first_child, e->size, image->count));
	if (e->type == ENTRY_SYMLINK)
		return e->size > 0 && e->size < 4096 &&
		       range_inside(e->data, e->size, names->size);
	if (e->type == ENTRY_FILE && !e->in_object)
		return e->data >= image->meta_size &&
		       range_inside(e->data, e->size, image->size);
	return e->size <= INT64_MAX;
}

int image_entry(struct image *image, uint32_t number, struct entry *ret)
{
	if (number >= image->count)
		return -ENOENT;
	const uint8_t *row = image_row(image, SECTION_ENTRIES, number, ENTRY_SIZE);
	if (!row)
		return -EBADMSG;
	uint8_t flags = row[ENTRY_FLAGS];
	struct entry e = {
		.number = number,
		.parent = load_le32(row + ENTRY_PARENT),
		.type = row[ENTRY_TYPE],
		.opaque = (flags & FLAG_OPAQUE) != 0,
		.in_object = (flags & FLAG_OBJECT) != 0,
		.mode = load_le16(row + ENTRY_MODE),
		.name_size = load_le16(row + ENTRY_NAME_SIZE),
		.mtime = (int64_t)load_le64(row + ENTRY_MTIME),
		.mtime_nsec = load_le32(row + ENTRY_MTIME_NSEC),
		.size = load_le64(row + ENTRY_LENGTH),
		.data = load_le64(row + ENTRY_DATA),
		.first_sum = load_le32(row + ENTRY_SUM),
	};
	memcpy(e.digest.bytes, row + ENTRY_DIGEST, sizeof(e.digest.bytes));
	if (e.type == ENTRY_DIRECTORY)
		e.first_child = (uint32_t)e.data;
	uint64_t name = load_le32(row + ENTRY_NAME);
	const struct section *names = &image->sections[SECTION_NAMES];
	if ((flags & ~FLAGS_KNOWN) || !entry_is_sane(image, &e) ||
	    !extent_is_sane(image, &e) || !range_inside(name, e.name_size, names->size))
		return damaged(image);
	int r = image_need(image, names->size ? names->offset + name : image->body,
			   e.name_size);
	if (r < 0)
		return r;
	e.name = (const char *)image->map + names->offset + name;
	*ret = e;
	return 0;
}

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
	if (order != 0)
		return order;
	return a_size < b_size ? -1 : a_size > b_size;
}

int image_lookup(struct image *image, uint32_t dir, const char *name, size_t name_size,
		 struct entry *ret)
{
	struct entry parent;
	int r = image_entry(image, dir, &parent);
	if (r < 0)
		return r;
	if (parent.type != ENTRY_DIRECTORY)
		return -ENOTDIR;
	uint32_t low = 0;
	uint32_t high = (uint32_t)parent.size;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct entry e;
		r = image_entry(image, parent.first_child + middle, &e);
		if (r < 0)
			return r;
		int order = compare_names(name, name_size, e.name, e.name_size);
		if (order == 0) {
			*ret = e;
			return 0;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

int image_resolve(struct image *image, const char *path, struct entry *ret)
{
	struct entry at;
	int r = image_entry(image, 0, &at);
	while (r == 0 && *path) {
		size_t size = strcspn(path, "/");
		r = image_lookup(image, at.number, path, size, &at);
		path += size + strspn(path + size, "/");
	}
	if (r == 0)
		*ret = at;
	return r;
}

int image_path(struct image *image, uint32_t number, struct buffer *out)
{
	uint32_t chain[FORMAT_DEEPEST];
	uint32_t depth = 0;
	for (uint32_t n = number; n != 0;) {
		struct entry e;
		int r = image_entry(image, n, &e);
		if (r < 0)
			return r;
		if (depth == FORMAT_DEEPEST)
			return damaged(image);
		chain[depth++] = n;
		n = e.parent;
	}
	while (depth > 0) {
		struct entry e;
		int r = image_entry(image, chain[--depth], &e);
		if (r == 0)
			r = buffer_append(out, e.name, e.name_size);
		if (r == 0 && depth > 0)
			r = buffer_append(out, "/", 1);
		if (r < 0)
			return r;
	}
	return 0;
}

int image_readlink(struct image *image, const struct entry *entry,
		   const char **ret_target)
{
	if (entry->type != ENTRY_SYMLINK)
		return -EINVAL;
	uint64_t at = image->sections[SECTION_NAMES].offset + entry->data;
	int r = image_need(image, at, entry->size);
	if (r == 0)
		*ret_target = (const char *)image->map + at;
	return r;
}
