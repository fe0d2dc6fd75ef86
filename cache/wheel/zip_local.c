/*
 * Local headers. A reader that streams sees only these, one that seeks only the central
 * directory; what both see must be the same, or a wheel has two contents
 * (CVE-2025-54368).
 */
#include "cache/base/file.h"
#include "cache/wheel/zip_private.h"

#include <errno.h>
#include <stdlib.h>

enum { LARGEST_HEADER = LOCAL_SIZE + 2 * 65535 };

static int differs(struct error *reterr, const struct zip_member *m, const char *what)
{
	return error_set(
	    reterr, -EBADMSG,
	    "member '%s': its local header and the central directory differ in %s",
	    m->name, what);
}

/* With a descriptor the local fields are zeros, or already right. */
static bool value_agrees(uint64_t local, uint64_t central, bool described)
{
	return local == central || (described && local == 0);
}

static int compare_header(const uint8_t *h, const struct zip_member *m,
			  const struct zip_sizes *sizes, struct error *reterr)
{
	bool described = m->flags & FLAG_DESCRIPTOR;
	if (load_le16(h + 6) != m->flags)
		return differs(reterr, m, "flags");
	if (load_le16(h + 8) != m->method)
		return differs(reterr, m, "compression method");
	if (!value_agrees(load_le32(h + 14), m->crc, described))
		return differs(reterr, m, "CRC");
	if (!value_agrees(sizes->packed, m->packed, described))
		return differs(reterr, m, "compressed size");
	if (!value_agrees(sizes->size, m->size, described))
		return differs(reterr, m, "size");
	return 0;
}

/* With or without signature, of 32 or 64 bit: which, the room up to the next member
 * tells. */
static int check_descriptor(int fd, const struct zip_member *m, uint64_t next,
			    struct error *reterr)
{
	uint8_t d[24];
	uint64_t start = m->data + m->packed;
	uint64_t room = next - start;
	if (next < start || (room != 12 && room != 16 && room != 20 && room != 24) ||
	    file_pread_all(fd, d, (size_t)room, start) < 0)
		return error_set(reterr, -EBADMSG,
				 "member '%s': its data descriptor is missing", m->name);
	bool is_signed = room == 16 || room == 24;
	const uint8_t *p = is_signed ? d + 4 : d;
	bool wide = room >= 20;
	uint64_t packed = wide ? load_le64(p + 4) : load_le32(p + 4);
	uint64_t size = wide ? load_le64(p + 12) : load_le32(p + 8);
	if ((is_signed && load_le32(d) != 0x08074b50) || load_le32(p) != m->crc ||
	    packed != m->packed || size != m->size)
		return error_set(
		    reterr, -EBADMSG,
		    "member '%s': its data descriptor differs from the central "
		    "directory",
		    m->name);
	return 0;
}

static int check_local(int fd, struct zip_member *m, uint64_t next, uint8_t *h,
		       struct error *reterr)
{
	if (file_pread_all(fd, h, LOCAL_SIZE, m->header) < 0 ||
	    load_le32(h) != 0x04034b50)
		return error_set(reterr, -EBADMSG, "member '%s' has no local header",
				 m->name);
	size_t name_size = load_le16(h + 26);
	size_t extra_size = load_le16(h + 28);
	if (file_pread_all(fd, h + LOCAL_SIZE, name_size + extra_size,
			   m->header + LOCAL_SIZE) < 0)
		return error_set(reterr, -EBADMSG,
				 "member '%s': its local header is cut short", m->name);
	if (name_size != m->name_size || memcmp(h + LOCAL_SIZE, m->name, name_size) != 0)
		return differs(reterr, m, "name");
	struct zip_sizes sizes = { .packed = load_le32(h + 18),
				   .size = load_le32(h + 22) };
	int r = zip_check_extra(h + LOCAL_SIZE + name_size, extra_size, false, m->name,
				&sizes, reterr);
	if (r == 0)
		r = compare_header(h, m, &sizes, reterr);
	if (r < 0)
		return r;
	m->data = m->header + LOCAL_SIZE + name_size + extra_size;
	m->end = next;
	if (m->flags & FLAG_DESCRIPTOR)
		return check_descriptor(fd, m, next, reterr);
	if (m->data > next || m->packed != next - m->data)
		return error_set(reterr, -EBADMSG,
				 "member '%s' overlaps the next one, or leaves a gap",
				 m->name);
	return 0;
}

static int compare_offsets(const void *a, const void *b)
{
	const struct zip_member *x = a;
	const struct zip_member *y = b;
	return (x->header > y->header) - (x->header < y->header);
}

int zip_check_locals(int fd, struct zip *zip, struct error *reterr)
{
	cleanup_free uint8_t *header = malloc(LARGEST_HEADER);
	if (!header)
		return -ENOMEM;
	if (zip->count > 1)
		qsort(zip->members, zip->count, sizeof(*zip->members), compare_offsets);
	if (zip->count > 0 && zip->members[0].header != 0)
		return error_set(reterr, -EBADMSG,
				 "there are bytes before the first member");
	for (uint32_t i = 0; i < zip->count; i++) {
		uint64_t next =
		    i + 1 < zip->count ? zip->members[i + 1].header : zip->directory_at;
		int r = check_local(fd, &zip->members[i], next, header, reterr);
		if (r < 0)
			return r;
	}
	return 0;
}
