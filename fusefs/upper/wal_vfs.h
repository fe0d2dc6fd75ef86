/*
 * A SQLite VFS that writes each commit to the WAL with one system call. Private to
 * fusefs/upper.
 */
#pragma once

/* Its name for sqlite3_open_v2(), registered at the first call; NULL without memory. */
const char *wal_vfs_name(void);
