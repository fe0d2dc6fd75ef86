/*
 * The optional sections: small tables beside the entries, each sorted by entry number.
 */
#include "cache/store/image_private.h"

#include <errno.h>

int image_find_row(struct image *image, enum section_kind kind, uint64_t row_size,
		   uint32_t number, uint64_t *ret_row)
{
	uint64_t low = 0;
	uint64_t count = image->sections[kind].size / row_size;
	uint64_t high = count;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		const uint8_t *row = image_row(image, kind, middle, row_size);
		if (!row)
			return -EBADMSG;
		if (load_le32(row) < number)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == count)
		return -ENODATA;
	const uint8_t *row = image_row(image, kind, low, row_size);
	if (!row)
		return -EBADMSG;
	if (load_le32(row) != number)
		return -ENODATA;
	*ret_row = low;
	return 0;
}

int image_sha256(struct image *image, uint32_t number, struct sha256 *ret)
{
	uint64_t i;
	int r = image_find_row(image, SECTION_SHA256, SHA256_ROW, number, &i);
	if (r < 0)
		return r;
	const uint8_t *row = image_row(image, SECTION_SHA256, i, SHA256_ROW);
	if (!row)
		return -EBADMSG;
	memcpy(ret->bytes, row + 4, sizeof(ret->bytes));
	return 0;
}

int image_owner(struct image *image, uint32_t number, uint32_t *ret_uid,
		uint32_t *ret_gid)
{
	uint64_t i;
	int r = image_find_row(image, SECTION_OWNERS, OWNER_ROW, number, &i);
	if (r < 0)
		return r;
	const uint8_t *row = image_row(image, SECTION_OWNERS, i, OWNER_ROW);
	if (!row)
		return -EBADMSG;
	*ret_uid = load_le32(row + 4);
	*ret_gid = load_le32(row + 8);
	return 0;
}

int image_hard_link(struct image *image, uint32_t number, uint32_t *ret_first)
{
	uint64_t i;
	int r = image_find_row(image, SECTION_LINKS, LINK_ROW, number, &i);
	if (r < 0)
		return r;
	const uint8_t *row = image_row(image, SECTION_LINKS, i, LINK_ROW);
	if (!row)
		return -EBADMSG;
	uint32_t first = load_le32(row + 4);
	struct entry e;
	if (first > number || image_entry(image, first, &e) < 0 ||
	    e.type == ENTRY_DIRECTORY)
		return -EBADMSG;
	*ret_first = first;
	return 0;
}

int image_hard_link_row(struct image *image, uint32_t i, uint32_t *ret_first)
{
	if (i >= image->sections[SECTION_LINKS].size / LINK_ROW)
		return -ENODATA;
	const uint8_t *row = image_row(image, SECTION_LINKS, i, LINK_ROW);
	if (!row)
		return -EBADMSG;
	*ret_first = load_le32(row + 4);
	return 0;
}

/* A range of the section of attribute names and values. */
static const uint8_t *xattr_bytes(struct image *image, uint32_t offset, uint32_t size)
{
	const struct section *s = &image->sections[SECTION_XATTR_BYTES];
	if (!s->offset || !range_inside(offset, size, s->size) ||
	    image_need(image, s->offset + offset, size) < 0)
		return NULL;
	return image->map + s->offset + offset;
}

int image_xattr(struct image *image, uint32_t number, uint32_t i, struct xattr *ret)
{
	uint64_t first;
	int r = image_find_row(image, SECTION_XATTRS, XATTR_ROW, number, &first);
	if (r < 0)
		return r;
	if (first + i >= image->sections[SECTION_XATTRS].size / XATTR_ROW)
		return -ENODATA;
	const uint8_t *row = image_row(image, SECTION_XATTRS, first + i, XATTR_ROW);
	if (!row)
		return -EBADMSG;
	if (load_le32(row) != number)
		return -ENODATA;
	struct xattr x = { .name_size = load_le32(row + 8),
			   .value_size = load_le32(row + 16) };
	x.name = (const char *)xattr_bytes(image, load_le32(row + 4), x.name_size);
	x.value = xattr_bytes(image, load_le32(row + 12), x.value_size);
	if (!x.name || !x.value || x.name_size == 0 || x.name_size > FORMAT_LONGEST_NAME)
		return -EBADMSG;
	*ret = x;
	return 0;
}

int image_record(struct image *image, const char **ret_text, size_t *ret_size)
{
	const struct section *s = &image->sections[SECTION_RECORD];
	if (!s->offset)
		return -ENODATA;
	int r = image_need(image, s->offset, s->size);
	if (r < 0)
		return r;
	*ret_text = (const char *)image->map + s->offset;
	*ret_size = s->size;
	return 0;
}

int image_info_next(struct image *image, uint32_t *cursor, struct info *ret)
{
	const struct section *s = &image->sections[SECTION_INFO];
	if (!s->offset || *cursor >= s->size)
		return 0;
	if (!range_inside(*cursor, INFO_HEAD, s->size) ||
	    image_need(image, s->offset + *cursor, INFO_HEAD) < 0)
		return -EBADMSG;
	const uint8_t *head = image->map + s->offset + *cursor;
	struct info info = { .key = load_le32(head), .size = load_le32(head + 4) };
	uint64_t at = (uint64_t)*cursor + INFO_HEAD;
	if (!range_inside(at, info.size, s->size) ||
	    image_need(image, s->offset + at, info.size) < 0)
		return -EBADMSG;
	info.value = (const char *)image->map + s->offset + at;
	uint64_t next = (at + info.size + 3) & ~UINT64_C(3);
	*cursor = next > UINT32_MAX ? UINT32_MAX : (uint32_t)next;
	*ret = info;
	return 1;
}

int image_info(struct image *image, enum info_key key, struct info *ret)
{
	uint32_t cursor = 0;
	struct info info;
	int r;
	while ((r = image_info_next(image, &cursor, &info)) > 0) {
		if (info.key == key) {
			*ret = info;
			return 0;
		}
	}
	return r < 0 ? r : -ENODATA;
}
