/* Reading rows with everything in them checked. Private to fusefs/upper. */
#pragma once

#include "fusefs/upper/sql.h"
#include "fusefs/upper/upper.h"

enum { DENTRY_COLUMNS_COUNT = 7 };

/* A column that must be a number; else *ok is false. */
int64_t row_number(sqlite3_stmt *s, int at, bool *ok);
/* Columns `first`... of a node; id 0 when they are NULL. -EBADMSG. */
int row_node(sqlite3_stmt *s, int first, struct upper_node *ret);
int row_dentry(sqlite3_stmt *s, struct upper_dentry *ret);
