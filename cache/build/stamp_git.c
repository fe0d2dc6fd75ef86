#include "cache/build/stamp_git.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 64 << 10 };

/* The first line of a file, without its end. */
static char *first_line(const char *folder, const char *name)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_free char *path = path_join(folder, name);
	if (!path || file_read_at(AT_FDCWD, path, LARGEST, &text) < 0 ||
	    !buffer_cstr(&text))
		return NULL;
	char *line = buffer_steal(&text);
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

static char *resolve(const char *base, const char *path)
{
	return path[0] == '/' ? strdup(path) : path_join(base, path);
}

/* .git of the folder or of one above it; in a worktree it is a file that says where. */
static char *find_repository(const char *folder)
{
	cleanup_free char *at = strdup(folder);
	while (at && *at) {
		struct stat st;
		cleanup_free char *git = path_join(at, ".git");
		if (git && stat(git, &st) == 0 && S_ISDIR(st.st_mode))
			return steal_ptr(git);
		if (git && stat(git, &st) == 0) {
			cleanup_free char *line = first_line(at, ".git");
			bool says = line && strncmp(line, "gitdir: ", 8) == 0;
			return says ? resolve(at, line + 8) : NULL;
		}
		*strrchr(at, '/') = '\0';
	}
	return NULL;
}

static int append_stat(struct buffer *out, const char *folder, const char *name)
{
	struct stat st;
	cleanup_free char *path = path_join(folder, name);
	if (!path)
		return -ENOMEM;
	if (stat(path, &st) < 0)
		return 0;
	return buffer_printf(out, "%s %lld.%09ld %lld\n", name,
			     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
			     (long long)st.st_size);
}

static int append_head(struct buffer *out, const char *git, const char *common)
{
	cleanup_free char *head = first_line(git, "HEAD");
	int r = buffer_printf(out, "HEAD %s\n", head ? head : "");
	if (r < 0 || !head || strncmp(head, "ref: ", 5) != 0)
		return r;
	cleanup_free char *commit = first_line(common, head + 5);
	r = buffer_printf(out, "commit %s\n", commit ? commit : "");
	return r < 0 ? r : append_stat(out, common, "packed-refs");
}

/* A new tag is a new name in one of these folders. */
static int append_tags(struct buffer *out, const char *common)
{
	int r = append_stat(out, common, "refs/tags");
	return r < 0 ? r : append_stat(out, common, "packed-refs");
}

int stamp_git(const char *folder, bool commit, bool tags, struct buffer *out)
{
	cleanup_free char *git = find_repository(folder);
	cleanup_free char *said = git ? first_line(git, "commondir") : NULL;
	cleanup_free char *common = said ? resolve(git, said) : NULL;
	int r = 0;
	if (!git)
		return 0;
	if (commit)
		r = append_head(out, git, common ? common : git);
	return r == 0 && tags ? append_tags(out, common ? common : git) : r;
}
