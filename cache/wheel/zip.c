#include "cache/wheel/zip.h"

#include "cache/base/file.h"
#include "cache/wheel/zip_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { END_SIZE = 22, END64_SIZE = 56, LOCATOR_SIZE = 20, LONGEST_COMMENT = 65535 };

/* What the end records say. */
struct end {
	uint64_t count, size, offset; /* of the central directory */
	uint64_t at;                  /* where the first end record stands */
};

static int refuse(struct error *reterr, const char *rule)
{
	return error_set(reterr, -EBADMSG, "%s", rule);
}

/* The one end record whose comment ends with the file. */
static int find_end(const uint8_t *tail, size_t size, size_t *ret_at,
		    struct error *reterr)
{
	size_t found = SIZE_MAX;
	for (size_t at = 0; at + END_SIZE <= size; at++) {
		if (load_le32(tail + at) != 0x06054b50 ||
		    at + END_SIZE + load_le16(tail + at + 20) != size)
			continue;
		if (found != SIZE_MAX)
			return refuse(reterr, "it has several end records");
		found = at;
	}
	if (found == SIZE_MAX)
		return refuse(
		    reterr,
		    "it is no zip file, is cut short, or has bytes behind its end");
	for (size_t i = found + END_SIZE; i < size; i++) {
		/* Bytes that make up zip signatures, never text: another zip in the
		 * comment. */
		if (tail[i] >= 1 && tail[i] <= 8)
			return refuse(reterr, "its comment looks like another zip file");
	}
	*ret_at = found;
	return 0;
}

static bool is_value(uint64_t in_end, uint64_t in_end64, uint64_t sentinel)
{
	return in_end == in_end64 || in_end == sentinel;
}

static int read_end64(int fd, uint64_t locator_at, const uint8_t *locator,
		      const uint8_t *e, struct end *ret, struct error *reterr)
{
	uint8_t r64[END64_SIZE];
	uint64_t at = load_le64(locator + 8);
	if (load_le32(locator + 4) != 0 || load_le32(locator + 16) != 1 ||
	    locator_at < END64_SIZE || at != locator_at - END64_SIZE ||
	    file_pread_all(fd, r64, sizeof(r64), at) < 0 || load_le32(r64) != 0x06064b50)
		return refuse(reterr,
			      "its ZIP64 locator does not point to the ZIP64 end record");
	if (load_le64(r64 + 4) != END64_SIZE - 12)
		return refuse(reterr, "its ZIP64 end record has extensible data");
	*ret = (struct end){ .count = load_le64(r64 + 32),
			     .size = load_le64(r64 + 40),
			     .offset = load_le64(r64 + 48),
			     .at = at };
	if (load_le32(r64 + 16) != 0 || load_le32(r64 + 20) != 0 ||
	    load_le64(r64 + 24) != ret->count)
		return refuse(reterr, "it spans several disks");
	if (!is_value(load_le16(e + 10), ret->count, UINT16_MAX) ||
	    !is_value(load_le32(e + 12), ret->size, UINT32_MAX) ||
	    !is_value(load_le32(e + 16), ret->offset, UINT32_MAX))
		return refuse(reterr, "its end record and its ZIP64 end record differ");
	return 0;
}

static int read_end(int fd, uint64_t file_size, struct end *ret, struct error *reterr)
{
	size_t size = END_SIZE + LONGEST_COMMENT + LOCATOR_SIZE;
	if (size > file_size)
		size = (size_t)file_size;
	cleanup_free uint8_t *tail = malloc(size + 1);
	if (!tail)
		return -ENOMEM;
	uint64_t start = file_size - size;
	int r = file_pread_all(fd, tail, size, start);
	if (r < 0)
		return error_errno(reterr, r, "cannot read it");
	size_t at = 0;
	r = find_end(tail, size, &at, reterr);
	if (r < 0)
		return r;
	const uint8_t *e = tail + at;
	if (load_le16(e + 4) != 0 || load_le16(e + 6) != 0 ||
	    load_le16(e + 8) != load_le16(e + 10))
		return refuse(reterr, "it spans several disks");
	if (at >= LOCATOR_SIZE && load_le32(e - LOCATOR_SIZE) == 0x07064b50)
		return read_end64(fd, start + at - LOCATOR_SIZE, e - LOCATOR_SIZE, e, ret,
				  reterr);
	*ret = (struct end){ .count = load_le16(e + 10),
			     .size = load_le32(e + 12),
			     .offset = load_le32(e + 16),
			     .at = start + at };
	return 0;
}

/* Only regular files and directories; what made the zip decides what the mode means. */
static int check_type(const uint8_t *h, struct zip_member *m, struct error *reterr)
{
	bool slash = m->name[m->name_size - 1] == '/';
	uint32_t mode = load_le32(h + 38) >> 16;
	uint32_t type = mode & S_IFMT;
	if (type != 0 && type != S_IFREG && type != S_IFDIR)
		return error_set(
		    reterr, -EBADMSG,
		    "member '%s' is a symlink or special file, which no wheel may have",
		    m->name);
	if ((type == S_IFDIR && !slash) || (type == S_IFREG && slash))
		return error_set(reterr, -EBADMSG,
				 "member '%s': its type and its name disagree", m->name);
	m->is_directory = slash;
	m->is_executable = !slash && (mode & 0111) != 0;
	if (slash && (m->size != 0 || m->crc != 0))
		return error_set(reterr, -EBADMSG, "directory '%s' has content", m->name);
	return 0;
}

static int check_features(const uint8_t *h, const struct zip_member *m,
			  struct error *reterr)
{
	uint16_t needed = load_le16(h + 6) & 0xff;
	const char *rule = NULL;
	if (m->flags & 1 || m->flags & 1 << 6)
		rule = "is encrypted";
	else if (m->flags & ~FLAGS_ALLOWED)
		rule = "uses a zip feature that no wheel may use";
	else if (m->method != ZIP_STORED && m->method != ZIP_DEFLATED)
		rule = "is compressed by a method other than deflate";
	else if (needed > 45)
		rule = "needs a newer zip version than its methods do";
	else if (load_le16(h + 32) != 0)
		rule = "has a comment";
	else if (load_le16(h + 34) != 0)
		rule = "lies on another disk";
	else if (m->method == ZIP_STORED && m->packed != m->size)
		rule = "is stored, yet its two sizes differ";
	else if (m->method == ZIP_STORED && m->flags & FLAG_DESCRIPTOR && m->size > 0)
		rule = "is stored with its size behind it";
	return rule ? error_set(reterr, -EBADMSG, "member '%s' %s", m->name, rule) : 0;
}

static int read_member(const uint8_t *h, size_t left, char *names, struct zip_member *m,
		       struct error *reterr)
{
	if (left < CENTRAL_SIZE || load_le32(h) != 0x02014b50)
		return refuse(reterr, "its central directory is damaged");
	size_t extra = load_le16(h + 30);
	size_t comment = load_le16(h + 32);
	*m = (struct zip_member){
		.name = names,
		.name_size = load_le16(h + 28),
		.flags = load_le16(h + 8),
		.method = load_le16(h + 10),
		.crc = load_le32(h + 16),
	};
	if (CENTRAL_SIZE + m->name_size + extra + comment > left)
		return refuse(reterr, "its central directory is damaged");
	memcpy(names, h + CENTRAL_SIZE, m->name_size);
	names[m->name_size] = '\0';
	int r = zip_check_name(names, m->name_size, m->flags & FLAG_UTF8, reterr);
	if (r < 0)
		return r;
	struct zip_sizes sizes = { .packed = load_le32(h + 20),
				   .size = load_le32(h + 24),
				   .offset = load_le32(h + 42) };
	r = zip_check_extra(h + CENTRAL_SIZE + m->name_size, extra, true, names, &sizes,
			    reterr);
	m->packed = sizes.packed;
	m->size = sizes.size;
	m->header = sizes.offset;
	if (r == 0)
		r = check_features(h, m, reterr);
	return r < 0 ? r : check_type(h, m, reterr);
}

static int read_members(struct zip *zip, uint64_t count, struct error *reterr)
{
	/* Every member takes CENTRAL_SIZE bytes and a name, so this bounds the count,
	 * too. */
	if (count > zip->directory_size / CENTRAL_SIZE)
		return refuse(reterr, "it has fewer members than its end record says");
	zip->members = calloc(count + 1, sizeof(*zip->members));
	zip->names = malloc(zip->directory_size + 1);
	if (!zip->members || !zip->names)
		return -ENOMEM;
	char *names = zip->names;
	const uint8_t *h = zip->directory;
	size_t left = zip->directory_size;
	for (uint64_t i = 0; i < count; i++) {
		struct zip_member *m = &zip->members[i];
		int r = read_member(h, left, names, m, reterr);
		if (r < 0)
			return r;
		if (!range_inside(m->header, LOCAL_SIZE, zip->directory_at) ||
		    m->size > UINT64_MAX / 4 || zip->total > UINT64_MAX / 4)
			return error_set(reterr, -EBADMSG,
					 "member '%s' lies outside of the file", m->name);
		size_t size = CENTRAL_SIZE + (size_t)m->name_size + load_le16(h + 30) +
			      load_le16(h + 32);
		names += m->name_size + 1;
		h += size;
		left -= size;
		zip->total += m->size;
		zip->count++;
	}
	return left == 0
		   ? 0
		   : refuse(reterr, "its central directory has more than its members");
}

static int check_limits(const struct zip *zip, uint64_t file_size,
			const struct zip_limits *limits, struct error *reterr)
{
	if (zip->total > limits->total)
		return error_set(reterr, -EBADMSG,
				 "unpacked it would be larger than %llu bytes",
				 (unsigned long long)limits->total);
	if (zip->total > limits->bomb_size && zip->total / limits->bomb_ratio > file_size)
		return error_set(
		    reterr, -EBADMSG,
		    "it unpacks to more than %llu times its size, as zip bombs do",
		    (unsigned long long)limits->bomb_ratio);
	return 0;
}

static int read_directory(int fd, const struct end *end, const struct zip_limits *limits,
			  struct zip *zip, struct error *reterr)
{
	if (!range_inside(end->offset, end->size, end->at) ||
	    end->offset + end->size != end->at)
		return refuse(reterr,
			      "its central directory is not where its end record says");
	if (end->size > limits->directory || end->count > limits->members)
		return error_set(reterr, -EBADMSG, "it has more than %llu members",
				 (unsigned long long)limits->members);
	zip->directory_at = end->offset;
	zip->directory_size = end->size;
	zip->directory = malloc(end->size + 1);
	if (!zip->directory)
		return -ENOMEM;
	int r = file_pread_all(fd, zip->directory, end->size, end->offset);
	return r < 0 ? error_errno(reterr, r, "cannot read it")
		     : read_members(zip, end->count, reterr);
}

int zip_open(int fd, uint64_t size, const struct zip_limits *limits, struct zip *ret,
	     struct error *reterr)
{
	CLEANUP(zip_release) struct zip zip = { .members = NULL };
	struct end end = { .count = 0 };
	int r = read_end(fd, size, &end, reterr);
	if (r == 0)
		r = read_directory(fd, &end, limits, &zip, reterr);
	if (r == 0)
		r = check_limits(&zip, size, limits, reterr);
	if (r == 0)
		r = zip_check_locals(fd, &zip, reterr);
	if (r == 0)
		r = zip_check_duplicates(&zip, reterr);
	if (r < 0)
		return r;
	*ret = zip;
	zip = (struct zip){ .members = NULL };
	return 0;
}

void zip_release(struct zip *zip)
{
	free(zip->members);
	free(zip->by_name);
	free(zip->directory);
	free(zip->names);
	*zip = (struct zip){ .members = NULL };
}

static int compare_by_name(const void *a, const void *b, void *context)
{
	const struct zip_member *members = context;
	return strcmp(members[*(const uint32_t *)a].name,
		      members[*(const uint32_t *)b].name);
}

static const struct zip_member *find(const struct zip *zip, const char *name, size_t size)
{
	uint32_t low = 0;
	uint32_t high = zip->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct zip_member *m = &zip->members[zip->by_name[middle]];
		int order = strncmp(name, m->name, size);
		if (order == 0 && m->name[size] == '\0')
			return m;
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct zip_member *zip_find(const struct zip *zip, const char *name)
{
	return find(zip, name, strlen(name));
}

/* Is a file also used as a directory ("a" and "a/b")? */
static int check_parents(const struct zip *zip, const struct zip_member *m,
			 struct error *reterr)
{
	for (size_t i = 1; i < m->name_size; i++) {
		if (m->name[i] != '/')
			continue;
		if (find(zip, m->name, i))
			return error_set(reterr, -EBADMSG,
					 "member '%.*s' is a file and a directory",
					 (int)i, m->name);
	}
	return 0;
}

int zip_check_duplicates(struct zip *zip, struct error *reterr)
{
	zip->by_name = calloc((size_t)zip->count + 1, sizeof(*zip->by_name));
	if (!zip->by_name)
		return -ENOMEM;
	for (uint32_t i = 0; i < zip->count; i++)
		zip->by_name[i] = i;
	qsort_r(zip->by_name, zip->count, sizeof(*zip->by_name), compare_by_name,
		zip->members);
	for (uint32_t i = 1; i < zip->count; i++) {
		const char *name = zip->members[zip->by_name[i]].name;
		if (strcmp(zip->members[zip->by_name[i - 1]].name, name) == 0)
			return error_set(reterr, -EBADMSG, "member '%s' is there twice",
					 name);
	}
	for (uint32_t i = 0; i < zip->count; i++) {
		int r = check_parents(zip, &zip->members[i], reterr);
		if (r < 0)
			return r;
	}
	return 0;
}
