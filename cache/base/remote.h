/*
 * Whether a directory lies on a disk that other machines may write, too. SQLite trusts
 * locks and shared memory that such disks do not keep, and a disk that goes away takes
 * what was changed along. One thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum { FS_TYPE_SIZE = 64 };

/*
 * The file system type of `device` in the text of a mountinfo file
 * (proc_pid_mountinfo(5)), as that names it: "ext4", "fuse.sshfs". False when no line has
 * it.
 */
bool mountinfo_type(const char *text, dev_t device, char ret_type[FS_TYPE_SIZE]);
bool fs_type_is_remote(const char *type);

/* False when it cannot be told (no /proc). ret_type: of what fd lies on, or "". */
bool file_is_remote(int fd, char ret_type[FS_TYPE_SIZE]);
