#include "cache/wheel/unpacked.h"

#include "cache/base/file.h"
#include "cache/wheel/zip_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64 };

struct scan {
	const struct zip_limits *limits;
	struct buffer
	    members; /* of struct zip_member, with `header` for the name's place */
	struct buffer names;
	uint64_t count, total;
	struct error *reterr;
};

static int refuse(const struct scan *s, const char *path, const char *why)
{
	return error_set(s->reterr, -EBADMSG, "'%s' %s", path, why);
}

static int add_member(struct scan *s, const char *path, const struct stat *st)
{
	bool is_directory = S_ISDIR(st->st_mode);
	size_t size = strlen(path);
	if (size > UINT16_MAX - 2)
		return refuse(s, path, "has too long a path");
	struct zip_member m = { .name_size = (uint16_t)(size + is_directory),
				.is_directory = is_directory,
				.is_executable =
				    !is_directory && (st->st_mode & 0111) != 0,
				.size = is_directory ? 0 : (uint64_t)st->st_size,
				.header = s->names.size };
	m.packed = m.size;
	s->total += m.size;
	s->count++;
	if (s->count > s->limits->members || s->total > s->limits->total)
		return refuse(s, path, "is beyond the most files or bytes of a wheel");
	int r = zip_check_name(path, size, true, s->reterr);
	if (r == 0)
		r = buffer_append(&s->members, &m, sizeof(m));
	if (r == 0)
		r = buffer_append(&s->names, path, size);
	if (r == 0 && is_directory)
		r = buffer_append(&s->names, "/", 1);
	return r < 0 ? r : buffer_append_zeros(&s->names, 1);
}

static int scan_folder(struct scan *s, int dirfd, const char *path, unsigned depth);

static int scan_entry(struct scan *s, int dirfd, const char *name, const char *path,
		      unsigned depth)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(s->reterr, -errno, "cannot read '%s'", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return refuse(s, path, "is no file and no directory");
	int r = add_member(s, path, &st);
	if (r < 0 || !S_ISDIR(st.st_mode))
		return r;
	if (depth == DEEPEST)
		return refuse(s, path, "lies too deep");
	cleanup_fd int fd = file_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return error_errno(s->reterr, fd, "cannot read '%s'", path);
	return scan_folder(s, fd, path, depth + 1);
}

static int scan_folder(struct scan *s, int dirfd, const char *path, unsigned depth)
{
	cleanup_dir DIR *dir = file_list_dir(dirfd);
	const struct dirent *entry;
	int r = dir ? 0 : -errno;
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		cleanup_free char *full =
		    *path ? path_join(path, entry->d_name) : strdup(entry->d_name);
		r = full ? scan_entry(s, dirfd, entry->d_name, full, depth) : -ENOMEM;
	}
	return r;
}

static int compare_names(const void *a, const void *b)
{
	const struct zip_member *x = a;
	const struct zip_member *y = b;
	return strcmp(x->name, y->name);
}

int unpacked_open(int dirfd, const struct zip_limits *limits, struct zip *ret,
		  struct error *reterr)
{
	struct scan s = { .limits = limits, .reterr = reterr };
	CLEANUP(zip_release) struct zip zip = { .members = NULL };
	int r = scan_folder(&s, dirfd, "", 0);
	if (r == 0)
		r = buffer_reserve(&s.members, sizeof(struct zip_member));
	zip.count = (uint32_t)s.count;
	zip.total = s.total;
	zip.members = buffer_steal(&s.members);
	zip.names = buffer_steal(&s.names);
	buffer_release(&s.members);
	buffer_release(&s.names);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < zip.count; i++) {
		zip.members[i].name = zip.names + zip.members[i].header;
		zip.members[i].header = 0;
	}
	/* Whatever the order on disk. */
	qsort(zip.members, zip.count, sizeof(*zip.members), compare_names);
	r = zip_check_duplicates(&zip, reterr);
	if (r < 0)
		return r;
	*ret = zip;
	zip = (struct zip){ .members = NULL };
	return 0;
}
