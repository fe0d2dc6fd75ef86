/* The walk over a path, which is the kernel's where there is one. */
#include "tests/model/overlay_driver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LINKS_MOST = 40, PATH_MOST = 4096 };

/* Where a walk is: in `dir`, with `rest` of the path before it. */
struct walk {
	struct driver *d;
	uint64_t dir;
	char rest[2 * PATH_MOST];
	int links;
};

static int step_into_link(struct walk *w, uint64_t link, const char *behind)
{
	cleanup_buffer struct buffer path = BUFFER_INIT;
	if (w->links++ >= LINKS_MOST)
		return -ELOOP;
	int r = overlay_readlink(w->d->overlay, link, &path);
	if (r == 0)
		r = buffer_printf(&path, "%s%s", *behind ? "/" : "", behind);
	if (r == 0 && path.size >= sizeof(w->rest))
		r = -ENAMETOOLONG;
	if (r == 0)
		memcpy(w->rest, buffer_cstr(&path), path.size + 1);
	/* What is absolute leads out of the tree, to what is not there. */
	return r == 0 && w->rest[0] == '/' ? -ENOENT : r;
}

static int find(struct walk *w, const char *name, struct stat *ret)
{
	struct overlay *o = w->d->overlay;
	uint64_t parent;
	if (strcmp(name, ".") == 0)
		return overlay_stat(o, w->dir, ret);
	if (strcmp(name, "..") != 0)
		return overlay_lookup(o, w->dir, name, ret);
	int r = overlay_parent(o, w->dir, &parent);
	return r < 0 ? r : overlay_stat(o, parent, ret);
}

/* Goes on to the last part of the path, which is left in w->rest. */
static int walk_to_parent(struct walk *w)
{
	char *slash;
	while ((slash = strchr(w->rest, '/')) != NULL) {
		struct stat st;
		char name[PATH_MOST];
		char behind[2 * PATH_MOST];
		if (slash - w->rest >= PATH_MOST)
			return -ENAMETOOLONG;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(slash - w->rest),
			       w->rest);
		(void)snprintf(behind, sizeof(behind), "%s", slash + 1);
		int r = find(w, name, &st);
		if (r == 0 && S_ISLNK(st.st_mode)) {
			r = step_into_link(w, st.st_ino, behind);
		} else if (r == 0) {
			w->dir = st.st_ino;
			memcpy(w->rest, behind, strlen(behind) + 1);
			r = S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* dir follow +path: the directory, its last name, and the node if there is one. */
int do_walk(struct driver *d, struct request *q, struct answer *a)
{
	struct walk w = { .d = d, .dir = request_number(q, 0) };
	struct stat st;
	if (q->parts[0].size == 0 || q->parts[0].size >= PATH_MOST)
		return q->parts[0].size ? -ENAMETOOLONG : -ENOENT;
	memcpy(w.rest, request_text(q, 0), q->parts[0].size + 1);
	int r;
	for (;;) {
		r = walk_to_parent(&w);
		if (r < 0)
			return r;
		r = find(&w, w.rest, &st);
		if (r < 0 || !S_ISLNK(st.st_mode) || !q->numbers[1])
			break;
		r = step_into_link(&w, st.st_ino, "");
		if (r < 0)
			return r;
	}
	answer_add(a, (int64_t)w.dir);
	answer_add_bytes(a, w.rest, strlen(w.rest));
	return r == -ENOENT ? 0 : (r < 0 ? r : answer_add_stat(a, &st));
}

/* dir +path: as walk, but of the last part nothing is asked. */
int do_parent_of(struct driver *d, struct request *q, struct answer *a)
{
	struct walk w = { .d = d, .dir = request_number(q, 0) };
	if (q->parts[0].size == 0 || q->parts[0].size >= PATH_MOST)
		return q->parts[0].size ? -ENAMETOOLONG : -ENOENT;
	memcpy(w.rest, request_text(q, 0), q->parts[0].size + 1);
	int r = walk_to_parent(&w);
	answer_add(a, (int64_t)w.dir);
	answer_add_bytes(a, w.rest, strlen(w.rest));
	return r;
}
