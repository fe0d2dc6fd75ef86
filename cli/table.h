/*
 * A table on stdout: rows of `columns` cells. On a terminal the columns are aligned and
 * the first row is the heading; in a pipe cells are separated by tabs and the heading is
 * left out. One thread.
 */
#pragma once

#include <stddef.h>

#include "cache/base/cleanup.h"

struct table;

/* NULL without memory. */
struct table *table_new(size_t columns);
void table_free(struct table *t);
DEFINE_CLEANUP(struct table *, table_free);

/* A cell is copied; a control character in it is printed as '?'. */
void table_add(struct table *t, const char *cell);
void table_print(const struct table *t);
