/*
 * wheels/, seen/ and unsynced/: which wheel became which image (store_folders.c: which
 * folder).
 *
 * Nothing is flushed when a wheel is published: 167 wheels must not cost 167 flushes.
 * Instead its note names the boot in which it was published. In that boot the page cache
 * has the bytes whatever the disk has. In a later one, after a power cut say, the image
 * is read and checked once before it is trusted, and the note loses the mark.
 * store_sync() flushes and takes the marks away; a mounted server does so when it has
 * nothing else to do.
 */
#include "cache/base/file.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST_NOTE = 4096 };

bool store_note_value(const char *text, const char *key, char *ret_value, size_t room)
{
	size_t key_size = strlen(key);
	for (const char *line = text; *line;) {
		size_t size = strcspn(line, "\n");
		if (size > key_size && strncmp(line, key, key_size) == 0 &&
		    line[key_size] == ' ') {
			size_t value = size - key_size - 1;
			if (value >= room)
				return false;
			memcpy(ret_value, line + key_size + 1, value);
			ret_value[value] = '\0';
			return true;
		}
		line += size + (line[size] == '\n');
	}
	return false;
}

static int parse_note(const char *text, struct wheel_note *ret, char ret_boot[40])
{
	char image[DIGEST_HEX_SIZE];
	char size[24];
	char end[8];
	if (!store_note_value(text, "image", image, sizeof(image)) ||
	    !digest_parse(image, &ret->image) ||
	    !store_note_value(text, "size", size, sizeof(size)) ||
	    !store_note_value(text, "name", ret->file_name, sizeof(ret->file_name)) ||
	    !store_note_value(text, "end", end, sizeof(end)))
		return -ENOENT; /* cut short by a power cut: as if it were not there */
	ret->size = strtoull(size, NULL, 10);
	if (!store_note_value(text, "origin", ret->origin, sizeof(ret->origin)))
		ret->origin[0] = '\0';
	if (!store_note_value(text, "source", ret->source, sizeof(ret->source)))
		ret->source[0] = '\0';
	if (!store_note_value(text, "boot", ret_boot, 40))
		ret_boot[0] = '\0';
	char record[16];
	ret->lenient = store_note_value(text, "record", record, sizeof(record)) &&
		       strcmp(record, "lenient") == 0;
	return 0;
}

static int write_note(struct store *store, const struct wheel_note *note,
		      const char *boot)
{
	char name[SHA256_HEX_SIZE];
	char image[DIGEST_HEX_SIZE];
	sha256_format(&note->sha256, name);
	digest_format(&note->image, image);
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = buffer_printf(&text, "image %s\nsize %llu\nname %s\n", image,
			      (unsigned long long)note->size, note->file_name);
	if (r == 0 && note->origin[0])
		r = buffer_printf(&text, "origin %s\n", note->origin);
	if (r == 0 && note->source[0])
		r = buffer_printf(&text, "source %s\n", note->source);
	if (r == 0 && note->lenient)
		r = buffer_append_text(&text, "record lenient\n");
	if (r == 0 && boot)
		r = buffer_printf(&text, "boot %s\n", boot);
	if (r == 0)
		r = buffer_append_text(&text, "end of note\n");
	return r < 0 ? r
		     : file_replace_at(store->dirs[DIR_WHEELS], name, text.data,
				       text.size, false);
}

/* Published in another boot and not known to be on disk: read it all before it is
 * trusted. */
static int settle_unsynced(struct store *store, const struct wheel_note *note)
{
	char name[SHA256_HEX_SIZE];
	sha256_format(&note->sha256, name);
	if (store_check_published(store, &note->image) < 0) {
		(void)unlinkat(store->dirs[DIR_WHEELS], name, 0);
		return -ENOENT;
	}
	(void)write_note(store, note, NULL);
	(void)unlinkat(store->dirs[DIR_UNSYNCED], name, 0);
	return 0;
}

static int find_note(struct store *store, const struct sha256 *sha256,
		     struct wheel_note *ret)
{
	char name[SHA256_HEX_SIZE];
	sha256_format(sha256, name);
	cleanup_buffer struct buffer text = BUFFER_INIT;
	if (store->dirs[DIR_WHEELS] < 0)
		return -ENOENT;
	int r = file_read_at(store->dirs[DIR_WHEELS], name, LARGEST_NOTE, &text);
	const char *cstr = r < 0 ? NULL : buffer_cstr(&text);
	if (!cstr)
		return r < 0 ? r : -ENOMEM;
	struct wheel_note note = { .sha256 = *sha256 };
	char boot[40];
	r = parse_note(cstr, &note, boot);
	/* What is another's cannot be mended here; its blocks are checked as they are
	 * read. */
	if (r == 0 && boot[0] && store->writable && strcmp(boot, store->boot_id) != 0)
		r = settle_unsynced(store, &note);
	if (r == 0)
		*ret = note;
	return r;
}

/* Somebody may have removed it by hand; then the wheel is new once more. */
static bool has_image(const struct store *store, const struct wheel_note *note)
{
	char path[ID_PATH_SIZE];
	store_id_path(&note->image, path);
	return faccessat(store->dirs[DIR_IMAGES], path, F_OK, 0) == 0;
}

int store_find_wheel(struct store *store, const struct sha256 *sha256,
		     struct wheel_note *ret)
{
	struct wheel_note note;
	int r = find_note(store, sha256, &note);
	if (r == 0 && !has_image(store, &note))
		return -ENOENT;
	if (r == 0)
		*ret = note;
	return r;
}

int store_note_wheel(struct store *store, const struct wheel_note *note,
		     struct error *reterr)
{
	char name[SHA256_HEX_SIZE];
	sha256_format(&note->sha256, name);
	if (strchr(note->file_name, '\n') || strchr(note->origin, '\n') ||
	    strchr(note->source, '\n') || !note->file_name[0])
		return error_set(reterr, -EINVAL, "a line break in a wheel's name");
	cleanup_fd int fd =
	    file_open_beneath(store->dirs[DIR_UNSYNCED], name, O_WRONLY | O_CREAT, 0600);
	if (fd < 0)
		return error_errno(reterr, fd, "cannot write to the cache '%s'",
				   store->path);
	int r = write_note(store, note, store->boot_id);
	if (r < 0)
		return error_errno(reterr, r, "cannot write to the cache '%s'",
				   store->path);
	return 0;
}

void store_forget_wheel(struct store *store, const struct sha256 *sha256)
{
	char name[SHA256_HEX_SIZE];
	sha256_format(sha256, name);
	if (store->writable)
		(void)unlinkat(store->dirs[DIR_WHEELS], name, 0);
}

static int compare_notes(const void *a, const void *b)
{
	const struct wheel_note *x = a;
	const struct wheel_note *y = b;
	int order = strcmp(x->file_name, y->file_name);
	return order ? order : memcmp(&x->sha256, &y->sha256, sizeof(x->sha256));
}

int store_each_wheel(struct store *store, store_visit_wheel *visit, void *context)
{
	cleanup_buffer struct buffer notes = BUFFER_INIT;
	cleanup_dir DIR *dir = file_list_dir(store->dirs[DIR_WHEELS]);
	if (!dir)
		return errno == EBADF ? 0 : -errno;
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		struct sha256 sha256;
		struct wheel_note note;
		if (!sha256_parse(entry->d_name, &sha256) ||
		    find_note(store, &sha256, &note) < 0)
			continue;
		int r = buffer_append(&notes, &note, sizeof(note));
		if (r < 0)
			return r;
	}
	size_t count = notes.size / sizeof(struct wheel_note);
	if (count > 1)
		qsort(notes.data, count, sizeof(struct wheel_note), compare_notes);
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct wheel_note note;
		memcpy(&note, notes.data + i * sizeof(note), sizeof(note));
		r = visit(context, &note);
	}
	return r;
}

/* What tells a file that was read once from every other and from itself changed. */
static void seen_name(const struct stat *st, char ret_name[DIGEST_HEX_SIZE])
{
	uint8_t key[7 * 8];
	store_le64(key, st->st_dev);
	store_le64(key + 8, st->st_ino);
	store_le64(key + 16, (uint64_t)st->st_size);
	store_le64(key + 24, (uint64_t)st->st_mtim.tv_sec);
	store_le64(key + 32, (uint64_t)st->st_mtim.tv_nsec);
	store_le64(key + 40, (uint64_t)st->st_ctim.tv_sec);
	store_le64(key + 48, (uint64_t)st->st_ctim.tv_nsec);
	struct digest d = digest_of(key, sizeof(key));
	digest_format(&d, ret_name);
}

int store_find_seen(struct store *store, const struct stat *st, struct sha256 *ret)
{
	char name[DIGEST_HEX_SIZE];
	char hex[SHA256_HEX_SIZE];
	seen_name(st, name);
	if (store->dirs[DIR_SEEN] < 0)
		return -ENOENT;
	cleanup_fd int fd = file_open_beneath(store->dirs[DIR_SEEN], name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	if (file_pread_all(fd, hex, sizeof(hex) - 1, 0) < 0)
		return -ENOENT;
	hex[sizeof(hex) - 1] = '\0';
	return sha256_parse(hex, ret) ? 0 : -ENOENT;
}

int store_note_seen(struct store *store, const struct stat *st,
		    const struct sha256 *sha256)
{
	/* A second change within the clock's grain would leave every stamp as it is. */
	if (!store->writable || time(NULL) - st->st_ctim.tv_sec < 2)
		return 0;
	char name[DIGEST_HEX_SIZE];
	char hex[SHA256_HEX_SIZE];
	seen_name(st, name);
	sha256_format(sha256, hex);
	return file_replace_at(store->dirs[DIR_SEEN], name, hex, strlen(hex), false);
}

/* A note that is not known to be on disk. */
struct unsynced {
	char name[SHA256_HEX_SIZE];
	struct digest image; /* of a folder, which may become another one meanwhile */
};

static int collect_unsynced(struct store *store, struct buffer *notes)
{
	cleanup_dir DIR *dir = file_list_dir(store->dirs[DIR_UNSYNCED]);
	if (!dir)
		return -errno;
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		struct unsynced note = { .name = "" };
		size_t size = strlen(entry->d_name);
		if (size >= sizeof(note.name) || entry->d_name[0] == '.')
			continue;
		memcpy(note.name, entry->d_name, size);
		note.image = store_folder_image(store, note.name);
		int r = buffer_append(notes, &note, sizeof(note));
		if (r < 0)
			return r;
	}
	return 0;
}

/* Takes the mark of its boot from a note, a wheel's or a folder's. */
static void settle_note(struct store *store, const struct unsynced *unsynced)
{
	struct sha256 sha256;
	struct wheel_note note;
	if (!sha256_parse(unsynced->name, &sha256))
		store_settle_folder(store, unsynced->name, &unsynced->image);
	else if (store_find_wheel(store, &sha256, &note) == 0)
		(void)write_note(store, &note, NULL);
}

int store_sync(struct store *store)
{
	if (!store->writable)
		return 0;
	cleanup_buffer struct buffer notes = BUFFER_INIT;
	int r = collect_unsynced(store, &notes);
	if (r < 0 || notes.size == 0)
		return r;
	if (syncfs(store->fd) < 0)
		return -errno;
	for (size_t at = 0; at < notes.size; at += sizeof(struct unsynced)) {
		struct unsynced note;
		memcpy(&note, notes.data + at, sizeof(note));
		settle_note(store, &note);
		(void)unlinkat(store->dirs[DIR_UNSYNCED], note.name, 0);
	}
	return 0;
}
