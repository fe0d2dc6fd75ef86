/*
 * A SQLite VFS that writes each commit to the WAL with one system call. Private to
 * fusefs/upper.
 */
#pragma once

#include <stdbool.h>

/* Its name for sqlite3_open_v2(), registered at the first call; NULL without memory. */
const char *wal_vfs_name(void);
/* A write that failed with SQLITE_FULL, the last of this thread's: was it for a quota? */
bool wal_vfs_over_quota(void);
