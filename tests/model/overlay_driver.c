/*
 * An overlay driven by lines on standard input, for the model without a mount:
 *
 *     overlay_driver CACHE FOLDER UPPER
 *
 * FOLDER is the lower (taken into CACHE), UPPER what holds the changes. A request is
 * "verb number... +size...\n" and then the bytes that the sizes count; an answer is
 * "code number... +size...\n" and its bytes, code being 0 or a negative errno. The walk
 * over a path is the driver's: the overlay knows names in directories only. Root asks.
 */
#include "tests/model/overlay_driver.h"

#include "cache/folder/folder.h"
#include "fusefs/tree/tree.h"
#include "fusefs/upper/upper.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t request_number(const struct request *q, int i)
{
	return (uint64_t)q->numbers[i];
}

const char *request_text(struct request *q, int i)
{
	return buffer_cstr(&q->parts[i]);
}

void answer_add(struct answer *a, int64_t value)
{
	if (buffer_printf(&a->numbers, " %" PRId64, value) < 0)
		abort();
}

void answer_add_bytes(struct answer *a, const void *bytes, size_t size)
{
	a->has_bytes = true;
	if (buffer_append(&a->bytes, bytes, size) < 0)
		abort();
}

int answer_add_stat(struct answer *a, const struct stat *st)
{
	answer_add(a, (int64_t)st->st_ino);
	answer_add(a, st->st_mode);
	answer_add(a, (int64_t)st->st_nlink);
	answer_add(a, st->st_uid);
	answer_add(a, st->st_gid);
	answer_add(a, st->st_size);
	const struct timespec *const times[] = { &st->st_atim, &st->st_mtim,
						 &st->st_ctim };
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		answer_add(a, times[i]->tv_sec);
		answer_add(a, times[i]->tv_nsec);
	}
	return 0;
}

/* False at the end of a request that is none. */
static bool read_request(char *line, struct request *q)
{
	int numbers = 0;
	int parts = 0;
	for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
		if (*word != '+' && numbers < NUMBERS) {
			q->numbers[numbers++] = strtoll(word, NULL, 10);
			continue;
		}
		size_t size = strtoull(word + 1, NULL, 10);
		if (*word != '+' || parts == PARTS ||
		    buffer_append_zeros(&q->parts[parts], size) < 0 ||
		    !buffer_cstr(&q->parts[parts]) ||
		    fread(q->parts[parts].data, 1, size, stdin) != size)
			return false;
		parts++;
	}
	return true;
}

static bool write_answer(int code, struct answer *a)
{
	const char *numbers = buffer_cstr(&a->numbers);
	(void)printf("%d%s", code, code == 0 && numbers ? numbers : "");
	if (code == 0 && a->has_bytes) {
		(void)printf(" +%zu\n", a->bytes.size);
		if (a->bytes.size > 0)
			(void)fwrite(a->bytes.data, 1, a->bytes.size, stdout);
	} else {
		(void)printf("\n");
	}
	return fflush(stdout) == 0;
}

static bool serve_one(struct driver *d, char *line)
{
	struct request q = { .numbers = { 0 } };
	struct answer a = { .has_bytes = false };
	char *rest = line + strcspn(line, " \n");
	if (*rest)
		*rest++ = '\0';
	verb *run = verb_find(line);
	bool ok = run && read_request(rest, &q) && write_answer(run(d, &q, &a), &a);
	for (int i = 0; i < PARTS; i++)
		buffer_release(&q.parts[i]);
	buffer_release(&a.numbers);
	buffer_release(&a.bytes);
	return ok;
}

static int open_lower(struct driver *d, const char *cache, const char *folder,
		      struct error *err)
{
	struct folder_added added;
	int r = store_open(cache, STORE_OWN, &d->store, err);
	if (r == 0)
		r = folder_add(d->store, folder, &added, err);
	if (r == 0)
		r = store_open_image(d->store, &added.note.image, &d->image, err);
	if (r < 0)
		return r;
	const struct tree_layer layer = { .number = 1,
					  .image = d->image,
					  .folder = true };
	const struct tree_options options = { .layers = &layer, .layer_count = 1 };
	return tree_new(&options, &d->tree, err);
}

static int open_all(struct driver *d, char **argv, struct error *err)
{
	const struct upper_options upper = { .path = argv[3],
					     .sync = true,
					     .owner = "the model" };
	int r = open_lower(d, argv[1], argv[2], err);
	if (r == 0)
		r = upper_open(&upper, &d->upper, err);
	if (r < 0)
		return r;
	const struct overlay_options options = { .tree = d->tree, .upper = d->upper };
	d->scratch = malloc(IMAGE_SCRATCH(READ_MOST));
	return d->scratch ? overlay_new(&options, &d->overlay) : -ENOMEM;
}

static void close_all(struct driver *d)
{
	overlay_free(d->overlay);
	upper_close(d->upper);
	tree_free(d->tree);
	image_free(d->image);
	store_free(d->store);
	free(d->scratch);
}

int main(int argc, char **argv)
{
	struct driver d = { .store = NULL };
	struct error err = ERROR_INIT;
	char *line = NULL;
	size_t room = 0;
	bool ok = true;
	int r = argc == 4 ? open_all(&d, argv, &err) : -EINVAL;
	if (r < 0)
		(void)fprintf(stderr, "overlay_driver: %s\n", error_text(&err, r));
	while (r == 0 && ok && getline(&line, &room, stdin) > 0)
		ok = serve_one(&d, line);
	free(line);
	close_all(&d);
	return r < 0 || !ok;
}
