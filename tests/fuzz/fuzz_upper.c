/*
 * Any bytes as index.db: opened, listed, asked for all it may hold, changed. What comes
 * is right or an error; a server that is handed such a file must not die of it.
 */
#include "tests/fuzz/fuzz.h"

#include "cache/base/file.h"
#include "fusefs/overlay/changes.h"
#include "fusefs/overlay/report.h"
#include "tests/fuzz/upper_tree.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

enum { MOST = 200, READ_SIZE = 4096 };

struct look {
	struct upper_tree *tree;
	uint64_t nodes[MOST];
	size_t count;
};

static int note_child(void *context, const struct overlay_child *child)
{
	struct look *l = context;
	if (l->count == MOST)
		return 1;
	l->nodes[l->count++] = child->st.st_ino;
	return 0;
}

static int note_row(void *context, const struct upper_dentry *dentry,
		    const struct upper_node *node)
{
	struct look *l = context;
	(void)node;
	if (l->count + 2 > MOST)
		return 1;
	l->nodes[l->count++] = dentry->parent;
	l->nodes[l->count++] = dentry->node;
	return 0;
}

static int count_change(void *context, const struct overlay_change *change)
{
	size_t *count = context;
	return strlen(change->path) == 0 || ++*count == MOST;
}

static void look_at(struct look *l, uint64_t node, void *scratch)
{
	static const char *const names[] = { "a", "b", "d", "l", "n0", "s" };
	struct overlay *o = l->tree->overlay;
	cleanup_buffer struct buffer out = BUFFER_INIT;
	struct image_bytes bytes;
	struct stat st;
	uint64_t parent;
	(void)overlay_stat(o, node, &st);
	(void)overlay_find(o, node, &st);
	(void)overlay_readlink(o, node, &out);
	(void)overlay_parent(o, node, &parent);
	(void)overlay_list_xattrs(o, node, &out);
	(void)overlay_get_xattr(o, node, "user.a", &out);
	(void)overlay_read(o, node, 0, READ_SIZE, scratch, &bytes);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		(void)overlay_lookup(o, node, names[i], &st);
}

static void end(struct overlay *o, int r)
{
	if (r == 0)
		overlay_release(o);
}

static void change(struct look *l, uint64_t node)
{
	struct overlay *o = l->tree->overlay;
	const struct caller caller = { .kill_privileges = true };
	const struct overlay_new file = { .mode = S_IFREG | 0644 };
	const struct overlay_rename renames[] = {
		{ .from_dir = node, .to_dir = TREE_ROOT, .from = "b", .to = "b" },
		{ .from_dir = TREE_ROOT, .to_dir = node, .from = "d", .to = "d" },
		{ .from_dir = TREE_ROOT,
		  .to_dir = node,
		  .from = "a",
		  .to = "n0",
		  .flags = RENAME_EXCHANGE },
	};
	const struct overlay_xattr xattr = { .name = "user.a", .value = "1", .size = 1 };
	const struct stat want = { .st_mode = 0600, .st_size = 3 };
	struct stat st;
	end(o, overlay_make(o, &caller, node, "new", &file, &st));
	end(o, overlay_link(o, &caller, node, TREE_ROOT, "linked", &st));
	for (size_t i = 0; i < sizeof(renames) / sizeof(*renames); i++)
		end(o, overlay_rename(o, &caller, &renames[i]));
	end(o, overlay_set_xattr(o, &caller, node, &xattr));
	(void)overlay_set(o, &caller, node, SET_MODE | SET_SIZE, &want, &st);
	(void)overlay_write(o, &caller, node, 1, "text", 4);
	end(o, overlay_remove(o, &caller, node, "n1", false));
	end(o, overlay_remove(o, &caller, TREE_ROOT, "s", true));
	overlay_forget(o, node, 1, NULL);
}

static void use(struct upper_tree *t, void *scratch)
{
	struct look l = { .tree = t };
	size_t changes = 0;
	(void)overlay_changes(t->overlay, NULL, count_change, &changes);
	(void)overlay_list(t->overlay, TREE_ROOT, 0, true, note_child, &l);
	struct upper_reader *reader = upper_read_list(t->upper);
	(void)upper_each(reader, note_row, &l);
	upper_read_end(t->upper, reader);
	size_t count = l.count;
	for (size_t i = 0; i < count; i++) {
		look_at(&l, l.nodes[i], scratch);
		(void)overlay_list(t->overlay, l.nodes[i], 0, true, note_child, &l);
	}
	for (size_t i = 0; i < count && i < MOST / 10; i++)
		change(&l, l.nodes[i]);
	(void)upper_reap_now(t->upper);
	(void)overlay_changes(t->overlay, NULL, count_change, &changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[] = "/tmp/venvfs-fuzz-XXXXXX";
	struct upper_tree t = { .fd = -1 };
	cleanup_free void *scratch = malloc(IMAGE_SCRATCH(READ_SIZE));
	if (!scratch || !mkdtemp(path))
		abort();
	cleanup_free char *index = path_join(path, "index.db");
	if (!index || file_replace_at(AT_FDCWD, index, data, size, false) < 0 ||
	    upper_tree_lower(&t) < 0)
		abort();
	for (int again = 0; again < 2; again++) {
		if (upper_tree_open(&t, path) == 0)
			use(&t, scratch);
		upper_tree_close(&t);
		if (upper_tree_lower(&t) < 0)
			abort();
	}
	upper_tree_close(&t);
	if (file_remove_tree_at(AT_FDCWD, path) < 0)
		abort();
	return 0;
}
