#include "fusefs/serve/layers.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Node ids with the bit above these are of the writable layer. */
enum { NUMBERS = 1 << 19, LARGEST_FILE = 64 << 20 };

static const char file_name[] = "layers";

struct row {
	uint32_t number;
	struct digest image;
};

struct table {
	struct row *rows; /* sorted by image */
	size_t count;
	uint32_t next; /* the first number that was never used */
};

static int compare_images(const void *a, const void *b)
{
	const struct row *x = a;
	const struct row *y = b;
	return memcmp(x->image.bytes, y->image.bytes, sizeof(x->image.bytes));
}

static const struct row *find_row(const struct table *t, const struct digest *image)
{
	const struct row wanted = { .image = *image };
	return t->count
		   ? bsearch(&wanted, t->rows, t->count, sizeof(wanted), compare_images)
		   : NULL;
}

/* "next 9", then "7 <image>" each. A file that cannot be understood must not be written
 * over: its numbers may be in use. */
static int parse(char *text, struct table *t)
{
	static const char head[] = "next ";
	const char *line = strsep(&text, "\n");
	if (strncmp(line, head, strlen(head)) != 0)
		return -EBADMSG;
	line += strlen(head);
	if (!take_number(&line, &t->next) || *line || t->next < 1 || t->next > NUMBERS)
		return -EBADMSG;
	while (text && *text) {
		struct row *row = &t->rows[t->count];
		line = strsep(&text, "\n");
		if (!take_number(&line, &row->number) || *line++ != ' ' ||
		    row->number < 1 || row->number >= t->next ||
		    !digest_parse(line, &row->image))
			return -EBADMSG;
		t->count++;
	}
	qsort(t->rows, t->count, sizeof(*t->rows), compare_images);
	return 0;
}

static int read_table(int state_fd, struct table *t)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = file_read_at(state_fd, file_name, LARGEST_FILE, &text);
	t->next = 1;
	if (r == -ENOENT)
		return 0;
	if (r < 0 || !buffer_cstr(&text))
		return r < 0 ? r : -ENOMEM;
	/* No line is shorter than a digest. */
	t->rows = calloc(text.size / (DIGEST_HEX_SIZE - 1) + 1, sizeof(*t->rows));
	return t->rows ? parse((char *)text.data, t) : -ENOMEM;
}

static int append_row(struct buffer *text, uint32_t number, const struct digest *image)
{
	char hex[DIGEST_HEX_SIZE];
	digest_format(image, hex);
	return buffer_printf(text, "%u %s\n", number, hex);
}

static bool plan_has(const struct plan *plan, uint32_t number)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->layers[i].number == number)
			return true;
	}
	return false;
}

int layers_write(int state_fd, const struct plan *plan, bool keep)
{
	struct table t = { .rows = NULL };
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = read_table(state_fd, &t);
	cleanup_free struct row *held = t.rows;
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->layers[i].number >= t.next)
			t.next = plan->layers[i].number + 1;
	}
	if (r == 0)
		r = buffer_printf(&text, "next %u\n", t.next);
	for (size_t i = 0; r == 0 && i < plan->count; i++)
		r = append_row(&text, plan->layers[i].number, &plan->layers[i].image);
	for (size_t i = 0; r == 0 && keep && i < t.count; i++) {
		if (!plan_has(plan, t.rows[i].number))
			r = append_row(&text, t.rows[i].number, &t.rows[i].image);
	}
	return r < 0 ? r
		     : file_keep_lasting_at(state_fd, file_name, text.data, text.size);
}

int layers_number(int state_fd, struct plan *plan, bool *ret_changed)
{
	struct table t = { .rows = NULL };
	int r = read_table(state_fd, &t);
	cleanup_free struct row *held = t.rows;
	bool changed = t.count != plan->count;
	for (size_t i = 0; r == 0 && i < plan->count; i++) {
		struct plan_layer *layer = &plan->layers[i];
		const struct row *row = find_row(&t, &layer->image);
		changed |= !row;
		if (!row && t.next >= NUMBERS)
			return -EOVERFLOW;
		layer->number = row ? row->number : t.next++;
	}
	if (r == 0)
		*ret_changed = changed;
	return r;
}
