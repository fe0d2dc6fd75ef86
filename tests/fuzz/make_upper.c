/*
 * Makes the corpus of fuzz_upper anew, after a change of the schema:
 *
 *     make_upper DIR        (index.db in it is corpus/upper/rows; DIR must be empty)
 *
 * "cycle" is the same after SQL that put n1 into d and d into n1, by name and by parent,
 * made an orphan of n3, and said that `a` has content, which it has not.
 */
#include "fusefs/overlay/changes.h"
#include "tests/fuzz/upper_tree.h"

#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

struct step {
	const char *make, *remove, *from, *to, *link;
	mode_t mode;
	const char *target;
};

static int run(struct overlay *o, const struct step *s)
{
	const struct caller caller = { .uid = 1, .gid = 2 };
	const struct overlay_new what = { .mode = s->mode, .target = s->target };
	struct overlay_rename rename = { TREE_ROOT, TREE_ROOT, s->from, s->to, 0 };
	struct stat st = { .st_ino = 0 };
	int r = 0;
	if (s->link)
		r = overlay_lookup(o, TREE_ROOT, s->link, &st);
	if (r < 0)
		return r;
	if (s->make)
		r = s->link ? overlay_link(o, &caller, st.st_ino, TREE_ROOT, s->make, &st)
			    : overlay_make(o, &caller, TREE_ROOT, s->make, &what, &st);
	else if (s->remove)
		r = overlay_remove(o, &caller, TREE_ROOT, s->remove, false);
	else
		r = overlay_rename(o, &caller, &rename);
	if (r == 0)
		overlay_release(o);
	return r;
}

/* Without content, which a fuzzer has no files of. */
static int change_nodes(struct overlay *o)
{
	const struct caller caller = { .uid = 0 };
	const struct stat want = { .st_mode = 02750 };
	const struct overlay_new file = { .mode = S_IFREG | 0644 };
	const struct overlay_xattr xattr = { .name = "user.a",
					     .value = "value",
					     .size = 5 };
	struct stat dir;
	struct stat st;
	int r = overlay_lookup(o, TREE_ROOT, "d", &dir);
	if (r == 0)
		r = overlay_set(o, &caller, dir.st_ino, SET_MODE, &want, &st);
	if (r == 0)
		r = overlay_set_xattr(o, &caller, dir.st_ino, &xattr);
	if (r < 0)
		return r;
	overlay_release(o);
	r = overlay_make(o, &caller, dir.st_ino, "in", &file, &st);
	if (r == 0)
		overlay_release(o);
	return r;
}

int main(int argc, char **argv)
{
	static const struct step steps[] = {
		{ .make = "n0", .mode = S_IFREG | 04755 },
		{ .make = "n1", .mode = S_IFDIR | 0755 },
		{ .make = "n2", .mode = S_IFLNK | 0777, .target = "where/to" },
		{ .make = "n3", .mode = S_IFIFO | 0600 },
		{ .make = "n4", .link = "n0" },
		{ .make = "n5", .link = "a" },
		{ .remove = "l" },
		{ .from = "n2", .to = "l" },
		{ .from = "a", .to = "moved" },
		{ .from = "d", .to = "s" },
		{ .make = "d", .mode = S_IFDIR | 0700 },
	};
	struct upper_tree t = { .fd = -1 };
	int r = argc == 2 ? upper_tree_lower(&t) : -1;
	if (r == 0)
		r = upper_tree_open(&t, argv[1]);
	for (size_t i = 0; r == 0 && i < sizeof(steps) / sizeof(*steps); i++)
		r = run(t.overlay, &steps[i]);
	if (r == 0)
		r = change_nodes(t.overlay);
	upper_tree_close(&t);
	if (r < 0)
		(void)fprintf(stderr, "make_upper: %s\n", strerror(-r));
	return r < 0;
}
