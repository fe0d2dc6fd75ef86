#include "fusefs/serve/mounts.h"

#include "cache/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* mountinfo writes space, tab, newline and backslash as \ooo. Works in place. */
static void unescape(char *text)
{
	char *out = text;
	for (const char *in = text; *in; in++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] && in[3]) {
			*out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 +
					(in[3] - '0'));
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

static unsigned parse_number(const char *text, const char **ret_end)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);
	*ret_end = end;
	return (unsigned)number;
}

/* "36 35 98:0 /root /mount/point opts shared:1 - type source options" */
static bool parse_line(char *line, struct mount_row *ret)
{
	enum { ID, PARENT, DEVICE, ROOT, POINT, FIELDS };
	char *fields[FIELDS];
	const char *end;
	char *rest = line;
	line[strcspn(line, "\n")] = '\0';
	for (int i = 0; i < FIELDS; i++) {
		fields[i] = strsep(&rest, " ");
		if (!fields[i] || !rest)
			return false;
	}
	char *dash = strstr(rest, " - ");
	if (!dash)
		return false;
	rest = dash + strlen(" - ");
	ret->type = strsep(&rest, " ");
	if (!rest || !strsep(&rest, " ") || !rest)
		return false;
	ret->options = rest;
	ret->id = (int)parse_number(fields[ID], &end);
	ret->major = parse_number(fields[DEVICE], &end);
	ret->minor = *end == ':' ? parse_number(end + 1, &end) : 0;
	unescape(fields[POINT]);
	ret->point = fields[POINT];
	return true;
}

int mounts_each(mounts_visit *visit, void *context)
{
	cleanup_file FILE *file = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL;
	size_t room = 0;
	int r = file ? 0 : -errno;
	while (r == 0 && getline(&line, &room, file) > 0) {
		struct mount_row row;
		if (parse_line(line, &row))
			r = visit(context, &row);
	}
	return r;
}

int mounts_id_of(int fd)
{
	static const char key[] = "mnt_id:";
	char path[64];
	char line[64];
	int id = -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	cleanup_file FILE *file = fopen(path, "re");
	while (file && id < 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) == 0)
			id = (int)strtol(line + strlen(key), NULL, 10);
	}
	return id;
}

bool mounts_is_ours(const struct mount_row *row, uid_t *ret_uid)
{
	static const char key[] = "user_id=";
	const char *end;
	const char *found = strstr(row->options, key);
	if (strcmp(row->type, MOUNTS_TYPE) != 0 || !found ||
	    (found != row->options && found[-1] != ','))
		return false;
	*ret_uid = parse_number(found + strlen(key), &end);
	return *end == ',' || !*end;
}

bool mounts_is_of(const struct mount_row *row, uid_t uid)
{
	uid_t served;
	return mounts_is_ours(row, &served) && served == uid;
}

struct sought {
	const char *path;
	bool found;
	uid_t uid;
};

static int find_user(void *context, const struct mount_row *row)
{
	struct sought *s = context;
	/* The last one that is named is on top. */
	if (strcmp(row->point, s->path) == 0)
		s->found = mounts_is_ours(row, &s->uid);
	return 0;
}

bool mounts_user_at(const char *path, uid_t *ret_uid)
{
	struct sought s = { .path = path };
	(void)mounts_each(find_user, &s);
	if (s.found)
		*ret_uid = s.uid;
	return s.found;
}
