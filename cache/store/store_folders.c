/*
 * folders/: which plain folder became which image. A note is named after the XXH3-128 of
 * the folder's canonical path, so a path has one, that of its latest image; what it was
 * before stays in images/ until gc finds nobody who uses it. Notes are settled after a
 * power cut as those of wheels are (store_wheels.c), and marked in the same unsynced/,
 * where names of 32 digits are folders and names of 64 are wheels.
 */
#include "cache/base/file.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST_NOTE = 8192 };

static void name_of(const char *path, char ret_name[DIGEST_HEX_SIZE])
{
	struct digest d = digest_of(path, strlen(path));
	digest_format(&d, ret_name);
}

static bool number_value(const char *text, const char *key, uint64_t *ret)
{
	char number[24];
	if (!store_note_value(text, key, number, sizeof(number)))
		return false;
	*ret = strtoull(number, NULL, 10);
	return true;
}

static int parse_note(const char *text, struct folder_note *ret, char ret_boot[40])
{
	char hex[DIGEST_HEX_SIZE];
	char end[8];
	if (!store_note_value(text, "image", hex, sizeof(hex)) ||
	    !digest_parse(hex, &ret->image) ||
	    !number_value(text, "entries", &ret->entries) ||
	    !number_value(text, "size", &ret->size) ||
	    !store_note_value(text, "path", ret->path, sizeof(ret->path)) ||
	    !store_note_value(text, "end", end, sizeof(end)))
		return -ENOENT; /* cut short by a power cut: as if it were not there */
	if (!store_note_value(text, "stamps", hex, sizeof(hex)) ||
	    !digest_parse(hex, &ret->stamps))
		ret->stamps = (struct digest){ .bytes = { 0 } };
	if (!store_note_value(text, "boot", ret_boot, 40))
		ret_boot[0] = '\0';
	return 0;
}

static int write_note(struct store *store, const struct folder_note *note,
		      const char *boot)
{
	static const struct digest none = { .bytes = { 0 } };
	char name[DIGEST_HEX_SIZE];
	char image[DIGEST_HEX_SIZE];
	char stamps[DIGEST_HEX_SIZE];
	name_of(note->path, name);
	digest_format(&note->image, image);
	digest_format(&note->stamps, stamps);
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = buffer_printf(&text, "image %s\nentries %llu\nsize %llu\npath %s\n",
			      image, (unsigned long long)note->entries,
			      (unsigned long long)note->size, note->path);
	if (r == 0 && !digest_equal(&note->stamps, &none))
		r = buffer_printf(&text, "stamps %s\n", stamps);
	if (r == 0 && boot)
		r = buffer_printf(&text, "boot %s\n", boot);
	if (r == 0)
		r = buffer_append_text(&text, "end of note\n");
	return r < 0 ? r
		     : file_replace_at(store->dirs[DIR_FOLDERS], name, text.data,
				       text.size, false);
}

/* What the note of that name says, settled when it is of another boot. */
static int read_note(struct store *store, const char *name, struct folder_note *ret)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	char boot[40];
	if (store->dirs[DIR_FOLDERS] < 0)
		return -ENOENT;
	int r = file_read_at(store->dirs[DIR_FOLDERS], name, LARGEST_NOTE, &text);
	const char *cstr = r < 0 ? NULL : buffer_cstr(&text);
	if (!cstr)
		return r < 0 ? r : -ENOMEM;
	r = parse_note(cstr, ret, boot);
	if (r < 0 || !boot[0] || !store->writable || strcmp(boot, store->boot_id) == 0)
		return r;
	if (store_check_published(store, &ret->image) < 0) {
		(void)unlinkat(store->dirs[DIR_FOLDERS], name, 0);
		return -ENOENT;
	}
	(void)write_note(store, ret, NULL);
	(void)unlinkat(store->dirs[DIR_UNSYNCED], name, 0);
	return 0;
}

int store_find_folder(struct store *store, const char *path, struct folder_note *ret)
{
	char name[DIGEST_HEX_SIZE];
	name_of(path, name);
	int r = read_note(store, name, ret);
	return r == 0 && strcmp(ret->path, path) != 0 ? -ENOENT : r;
}

int store_note_folder(struct store *store, const struct folder_note *note,
		      struct error *reterr)
{
	char name[DIGEST_HEX_SIZE];
	name_of(note->path, name);
	if (strchr(note->path, '\n'))
		return error_set(reterr, -EINVAL, "a line break in a folder's path");
	cleanup_fd int fd =
	    file_open_beneath(store->dirs[DIR_UNSYNCED], name, O_WRONLY | O_CREAT, 0600);
	int r = fd < 0 ? fd : write_note(store, note, store->boot_id);
	if (r < 0)
		return error_errno(reterr, r, "cannot write to the cache '%s'",
				   store->path);
	return 0;
}

struct digest store_folder_image(struct store *store, const char *name)
{
	struct digest ignored;
	struct folder_note note;
	if (!digest_parse(name, &ignored) || read_note(store, name, &note) < 0)
		return (struct digest){ .bytes = { 0 } };
	return note.image;
}

void store_settle_folder(struct store *store, const char *name,
			 const struct digest *image)
{
	struct digest ignored;
	struct folder_note note;
	if (digest_parse(name, &ignored) && read_note(store, name, &note) == 0 &&
	    digest_equal(&note.image, image))
		(void)write_note(store, &note, NULL);
}

void store_forget_folder(struct store *store, const char *path)
{
	char name[DIGEST_HEX_SIZE];
	name_of(path, name);
	if (store->writable)
		(void)unlinkat(store->dirs[DIR_FOLDERS], name, 0);
}

static int compare_notes(const void *a, const void *b)
{
	const struct folder_note *x = a;
	const struct folder_note *y = b;
	return strcmp(x->path, y->path);
}

int store_each_folder(struct store *store, store_visit_folder *visit, void *context)
{
	cleanup_buffer struct buffer notes = BUFFER_INIT;
	cleanup_dir DIR *dir = file_list_dir(store->dirs[DIR_FOLDERS]);
	if (!dir)
		return errno == EBADF ? 0 : -errno;
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		struct digest ignored;
		struct folder_note note;
		if (!digest_parse(entry->d_name, &ignored) ||
		    read_note(store, entry->d_name, &note) < 0)
			continue;
		int r = buffer_append(&notes, &note, sizeof(note));
		if (r < 0)
			return r;
	}
	size_t count = notes.size / sizeof(struct folder_note);
	if (count > 1)
		qsort(notes.data, count, sizeof(struct folder_note), compare_notes);
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct folder_note note;
		memcpy(&note, notes.data + i * sizeof(note), sizeof(note));
		r = visit(context, &note);
	}
	return r;
}
