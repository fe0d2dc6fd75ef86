#include "cli/table.h"

#include "cli/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct table {
	size_t columns, count, room;
	char **cells;
};

struct table *table_new(size_t columns)
{
	struct table *t = calloc(1, sizeof(*t));
	if (t)
		t->columns = columns;
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
}

void table_add(struct table *t, const char *cell)
{
	if (t->count == t->room) {
		size_t room = t->room ? t->room * 2 : 32;
		char **cells = reallocarray(t->cells, room, sizeof(*cells));
		if (!cells)
			return;
		t->cells = cells;
		t->room = room;
	}
	char *copy = strdup(cell);
	if (!copy)
		return;
	make_printable(copy);
	t->cells[t->count++] = copy;
}

/* Characters, not bytes: names are UTF-8. */
static size_t text_width(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static size_t column_width(const struct table *t, size_t column)
{
	size_t width = 0;
	for (size_t i = column; i < t->count; i += t->columns) {
		size_t size = text_width(t->cells[i]);
		width = size > width ? size : width;
	}
	return width;
}

static void print_aligned(const struct table *t, size_t row, const size_t *widths)
{
	bool bold = row == 0 && is_styled(STDOUT_FILENO);
	printf("%s", bold ? "\033[1m" : "");
	for (size_t column = 0; column < t->columns; column++) {
		const char *cell = t->cells[row + column];
		bool last = column + 1 == t->columns;
		int gap = last ? 0 : (int)(widths[column] - text_width(cell)) + 2;
		printf("%s%*s", cell, gap, "");
	}
	printf("%s\n", bold ? "\033[0m" : "");
}

static void print_plain(const struct table *t, size_t row)
{
	for (size_t column = 0; column < t->columns; column++)
		printf("%s%c", t->cells[row + column],
		       column + 1 == t->columns ? '\n' : '\t');
}

void table_print(const struct table *t)
{
	cleanup_free size_t *widths = calloc(t->columns, sizeof(*widths));
	bool aligned = widths && isatty(STDOUT_FILENO) == 1;
	for (size_t column = 0; aligned && column < t->columns; column++)
		widths[column] = column_width(t, column);
	for (size_t row = aligned ? 0 : t->columns; row + t->columns <= t->count;
	     row += t->columns) {
		if (aligned)
			print_aligned(t, row, widths);
		else
			print_plain(t, row);
	}
}
