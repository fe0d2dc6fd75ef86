#include "cache/wheel/archive.h"

#include "cache/base/library.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The functions that are used, under the types that libarchive's own headers give them.
 */
#define FUNCTIONS(X)                                  \
	X(archive_read_new)                           \
	X(archive_read_free)                          \
	X(archive_read_support_format_zip_streamable) \
	X(archive_read_open2)                         \
	X(archive_read_next_header)                   \
	X(archive_read_data_block)                    \
	X(archive_entry_pathname_utf8)                \
	X(archive_entry_pathname)                     \
	X(archive_error_string)

struct library {
#define DECLARE(name) __typeof__(name) *name;
	FUNCTIONS(DECLARE)
};

/* Loaded once for the process and never changed afterwards. */
static struct library library;
static const char *missing; /* what could not be found, or NULL */
static locale_t utf8;       /* libarchive brings names into the locale; or 0 */

static void load(void)
{
#define NAME(name) #name,
	static const char *const names[] = { FUNCTIONS(NAME) NULL };
	missing = library_load(VENVFS_LIBARCHIVE, names, &library);
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static int need_library(struct error *reterr)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, load);
	if (missing)
		return error_set(
		    reterr, -ENOSYS,
		    "libarchive cannot be used (%s); install it (Debian: libarchive13)",
		    missing);
	return 0;
}

/*
 * After a data descriptor libarchive wants to see so much of what follows, be it the end
 * of the last member. What follows is there: the central directory.
 */
enum { PART = 256 << 10, LOOK_AHEAD = 32 };

struct archive_reader {
	struct archive *archive;
	int fd;
	uint64_t at, end;
	uint64_t block_end; /* of the member: where the last block of content ended */
	uint8_t bytes[PART];
};

static la_ssize_t on_read(struct archive *archive, void *context, const void **ret_bytes)
{
	(void)archive;
	struct archive_reader *reader = context;
	size_t size =
	    reader->end - reader->at < PART ? (size_t)(reader->end - reader->at) : PART;
	ssize_t n;
	do {
		n = pread(reader->fd, reader->bytes, size, (off_t)reader->at);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		reader->at += (uint64_t)n;
	*ret_bytes = reader->bytes;
	return n;
}

int archive_open(int fd, uint64_t start, uint64_t end, struct archive_reader **ret,
		 struct error *reterr)
{
	int r = need_library(reterr);
	if (r < 0)
		return r;
	CLEANUP(archive_reader_freep)
	struct archive_reader *reader = malloc(sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->fd = fd;
	reader->at = start;
	reader->end = end + LOOK_AHEAD;
	reader->block_end = 0;
	reader->archive = library.archive_read_new();
	if (!reader->archive)
		return -ENOMEM;
	if (library.archive_read_support_format_zip_streamable(reader->archive) !=
		ARCHIVE_OK ||
	    library.archive_read_open2(reader->archive, reader, NULL, on_read, NULL,
				       NULL) != ARCHIVE_OK)
		return error_set(reterr, -EBADMSG, "libarchive: %s",
				 library.archive_error_string(reader->archive));
	*ret = steal_ptr(reader);
	return 0;
}

void archive_reader_free(struct archive_reader *reader)
{
	if (!reader)
		return;
	if (reader->archive)
		(void)library.archive_read_free(reader->archive);
	free(reader);
}

static int refuse(struct archive_reader *reader, struct error *reterr)
{
	const char *why = library.archive_error_string(reader->archive);
	return error_set(reterr, -EBADMSG, "cannot be unpacked: %s",
			 why ? why : "damaged");
}

int archive_next(struct archive_reader *reader, const char **ret_name,
		 struct error *reterr)
{
	struct archive_entry *entry;
	locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
	int r = library.archive_read_next_header(reader->archive, &entry);
	if (before)
		(void)uselocale(before);
	if (r == ARCHIVE_EOF)
		return 0;
	/* A warning: no such locale here, and a name that C has no characters for. */
	if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
		return refuse(reader, reterr);
	const char *name = library.archive_entry_pathname_utf8(entry);
	if (!name)
		name = library.archive_entry_pathname(entry);
	reader->block_end = 0;
	*ret_name = name;
	return 1;
}

int archive_read(struct archive_reader *reader, const void **ret_bytes, size_t *ret_size,
		 struct error *reterr)
{
	size_t size = 0;
	while (size == 0) {
		la_int64_t offset;
		int r = library.archive_read_data_block(reader->archive, ret_bytes, &size,
							&offset);
		if (r == ARCHIVE_EOF)
			break;
		/* A hole would be bytes that nobody hashed. */
		if (r != ARCHIVE_OK || (uint64_t)offset != reader->block_end)
			return refuse(reader, reterr);
		reader->block_end += size;
	}
	*ret_size = size;
	return 0;
}
