#include "fusefs/serve/holders.h"

#include "cache/base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_below(const char *name, size_t size, const char *path)
{
	size_t length = strlen(path);
	return size >= length && memcmp(name, path, length) == 0 &&
	       (size == length || name[length] == '/');
}

static bool link_is_below(int dirfd, const char *name, const char *path)
{
	char target[4096];
	ssize_t size = readlinkat(dirfd, name, target, sizeof(target));
	return size > 0 && is_below(target, (size_t)size, path);
}

static bool has_open_file(int process, const char *path)
{
	cleanup_fd int fds = file_open(process, "fd", O_RDONLY | O_DIRECTORY, 0);
	if (fds < 0)
		return false;
	cleanup_dir DIR *dir = file_list_dir(fds);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (link_is_below(fds, entry->d_name, path))
			return true;
	}
	return false;
}

/* "address perms offset dev inode   /path" */
static bool has_mapping(int process, const char *path)
{
	int fd = file_open(process, "maps", O_RDONLY, 0);
	cleanup_file FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
	cleanup_free char *line = NULL;
	size_t room = 0;
	ssize_t size;
	while (file && (size = getline(&line, &room, file)) > 0) {
		const char *name = strchr(line, '/');
		if (name &&
		    is_below(name, (size_t)size - 1 - (size_t)(name - line), path))
			return true;
	}
	return false;
}

static const char *look_into(int process, const char *path)
{
	if (link_is_below(process, "cwd", path))
		return "working directory";
	if (link_is_below(process, "root", path))
		return "root directory";
	if (link_is_below(process, "exe", path))
		return "program";
	if (has_open_file(process, path))
		return "open file";
	return has_mapping(process, path) ? "mapped file" : NULL;
}

int holders_find(const char *path, holders_visit *visit, void *context)
{
	cleanup_fd int proc = file_open(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, 0);
	if (proc < 0)
		return proc;
	cleanup_dir DIR *dir = file_list_dir(proc);
	const struct dirent *entry;
	int r = dir ? 0 : -errno;
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		cleanup_fd int process =
		    file_open(proc, entry->d_name, O_RDONLY | O_DIRECTORY, 0);
		const char *how = process < 0 ? NULL : look_into(process, path);
		cleanup_buffer struct buffer name = BUFFER_INIT;
		if (!how || file_read_at(process, "comm", 64, &name) < 0 ||
		    !buffer_cstr(&name))
			continue;
		char *text = (char *)name.data;
		text[strcspn(text, "\n")] = '\0';
		r = visit(context, (pid_t)strtol(entry->d_name, NULL, 10), text, how);
	}
	return r;
}
