#include "cache/store/verify.h"

#include "cache/base/file.h"
#include "cache/store/image_private.h"
#include "cache/store/lease.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct verifier {
	struct store *store;
	verify_report *report;
	verify_progress *progress; /* or NULL */
	void *context;
	uint64_t done, count; /* files */
	struct verify_result *result;
	struct buffer bad_images; /* of struct digest */
};

__attribute__((format(printf, 2, 3))) static void report(struct verifier *v,
							 const char *format, ...)
{
	char line[2048];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	v->result->bad++;
	v->report(v->context, line);
}

static void verify_image(struct verifier *v, int fd, const struct digest *id,
			 const char *name)
{
	struct error err = ERROR_INIT;
	v->result->images++;
	int r = store_check_image(v->store, fd, id, true, &err);
	if (r == 0)
		return;
	report(v, "image %s: %s", name, error_text(&err, r));
	(void)buffer_append(&v->bad_images, id, sizeof(*id));
}

static void verify_object(struct verifier *v, int fd, const struct digest *id,
			  const char *name)
{
	v->result->objects++;
	int r = store_check_object(fd, id);
	if (r == -EBADMSG)
		report(v, "object %s: its content does not match its id", name);
	else if (r < 0)
		report(v, "object %s: %s", name, strerror(-r));
}

typedef void verify_one(struct verifier *v, int fd, const struct digest *id,
			const char *name);

static void verify_file(struct verifier *v, int dirfd, const char *shard,
			const char *name, verify_one *verify)
{
	char hex[3 + 256];
	struct digest id;
	struct stat st;
	(void)snprintf(hex, sizeof(hex), "%.2s%s", shard, name);
	cleanup_fd int fd = file_open_beneath(dirfd, name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		report(v, "%s: %s", hex, fd < 0 ? strerror(-fd) : strerror(errno));
	else if (!digest_parse(hex, &id) || !S_ISREG(st.st_mode))
		report(v, "%s/%s is none of the cache's files", shard, name);
	else
		verify(v, fd, &id, hex);
	if (fd >= 0)
		v->result->bytes += (uint64_t)st.st_size;
	v->done++;
	if (v->progress)
		v->progress(v->context, v->done, v->count > v->done ? v->count : v->done,
			    hex);
}

static int verify_shard(struct verifier *v, int dirfd, const char *shard,
			verify_one *verify)
{
	cleanup_fd int fd = file_open_beneath(dirfd, shard, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	if (!dir) {
		report(v, "%s: %s", shard, strerror(fd < 0 ? -fd : errno));
		return 0;
	}
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			verify_file(v, fd, shard, entry->d_name, verify);
	}
	return 0;
}

static uint64_t count_names(DIR *dir)
{
	uint64_t count = 0;
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	return count;
}

static void count_files(struct verifier *v, enum store_dir which)
{
	int dirfd = v->store->dirs[which];
	cleanup_dir DIR *dir = dirfd < 0 ? NULL : file_list_dir(dirfd);
	const struct dirent *entry;
	while (v->progress && dir && (entry = readdir(dir)) != NULL) {
		cleanup_fd int fd = entry->d_name[0] == '.'
					? -1
					: file_open_beneath(dirfd, entry->d_name,
							    O_RDONLY | O_DIRECTORY, 0);
		cleanup_dir DIR *shard = fd < 0 ? NULL : file_list_dir(fd);
		v->count += count_names(shard);
	}
}

static int verify_all(struct verifier *v, enum store_dir which, verify_one *verify)
{
	int dirfd = v->store->dirs[which];
	if (dirfd < 0)
		return 0;
	cleanup_dir DIR *dir = file_list_dir(dirfd);
	if (!dir)
		return -errno;
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		int r = entry->d_name[0] == '.'
			    ? 0
			    : verify_shard(v, dirfd, entry->d_name, verify);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_bad(const struct verifier *v, const struct digest *image)
{
	for (size_t at = 0; at < v->bad_images.size; at += sizeof(*image)) {
		if (memcmp(v->bad_images.data + at, image, sizeof(*image)) == 0)
			return true;
	}
	return false;
}

static bool image_is_there(const struct verifier *v, const struct digest *image)
{
	char path[ID_PATH_SIZE];
	store_id_path(image, path);
	cleanup_fd int fd =
	    file_open_beneath(v->store->dirs[DIR_IMAGES], path, O_RDONLY, 0);
	return fd >= 0;
}

/*
 * A wheel whose image is missing or damaged is forgotten, so that adding it again unpacks
 * it again; that replaces what is damaged.
 */
static int verify_note(void *context, const struct wheel_note *note)
{
	struct verifier *v = context;
	v->result->wheels++;
	if (!image_is_there(v, &note->image))
		report(v, "wheel %s: its image is missing", note->file_name);
	else if (!is_bad(v, &note->image))
		return 0;
	store_forget_wheel(v->store, &note->sha256);
	return 0;
}

static int verify_folder(void *context, const struct folder_note *note)
{
	struct verifier *v = context;
	v->result->folders++;
	if (!image_is_there(v, &note->image))
		report(v, "folder %s: its image is missing", note->path);
	else if (!is_bad(v, &note->image))
		return 0;
	store_forget_folder(v->store, note->path);
	return 0;
}

int store_verify(struct store *store, verify_report *report_line,
		 verify_progress *progress, void *context, struct verify_result *ret)
{
	*ret = (struct verify_result){ .wheels = 0 };
	struct verifier v = { .store = store,
			      .report = report_line,
			      .progress = progress,
			      .context = context,
			      .result = ret,
			      .bad_images = BUFFER_INIT };
	count_files(&v, DIR_OBJECTS);
	count_files(&v, DIR_IMAGES);
	CLEANUP(lease_freep) struct lease *lease = NULL;
	int r = lease_take(store, "cache verify", &lease);
	/* A full disk has no room for a lease, and is when one wants to look. */
	if (r == 0 || r == -ENOSPC || r == -EDQUOT)
		r = verify_all(&v, DIR_OBJECTS, verify_object);
	if (r == 0)
		r = verify_all(&v, DIR_IMAGES, verify_image);
	if (r == 0)
		r = store_each_wheel(store, verify_note, &v);
	if (r == 0)
		r = store_each_folder(store, verify_folder, &v);
	buffer_release(&v.bad_images);
	return r;
}
