/* Which directories of the layers meet at a path of the tree. */
#include "fusefs/tree/directory.h"

#include <errno.h>
#include <string.h>

/* What `graft` leads to, as seen from the graft `g`: the path below g->to, or NULL. */
static const char *path_below(const struct tree_graft *g, const char *to)
{
	size_t size = strlen(g->to);
	if (size == 0)
		return to;
	if (strncmp(to, g->to, size) != 0 || (to[size] != '\0' && to[size] != '/'))
		return NULL;
	return to[size] == '/' ? to + size + 1 : to + size;
}

/* In how many ways can a layer have something at a path? */
static size_t way_count(const struct tree *tree, size_t layer)
{
	return tree->layers[layer].folder ? 1 : tree->options.graft_count;
}

/* What a layer has at the path `to` in one of its ways. -ENOENT. */
static int entry_at(const struct tree *tree, size_t layer, size_t way, const char *to,
		    struct entry *ret)
{
	static const struct tree_graft whole = { "", "" };
	const struct tree_graft *g =
	    tree->layers[layer].folder ? &whole : &tree->options.grafts[way];
	const char *below = path_below(g, to);
	cleanup_buffer struct buffer path = BUFFER_INIT;
	if (!below)
		return -ENOENT;
	int r =
	    buffer_printf(&path, "%s%s%s", g->from, *g->from && *below ? "/" : "", below);
	const char *text = r == 0 ? buffer_cstr(&path) : NULL;
	if (!text)
		return -ENOMEM;
	r = image_resolve(tree->layers[layer].image, text, ret);
	return r == -ENOTDIR ? -ENOENT : r;
}

/* Has one of the layers before `end` something at the path that lets nothing through? */
static int is_covered(const struct tree *tree, size_t end, const char *path)
{
	for (size_t i = 0; i < end; i++) {
		for (size_t way = 0; way < way_count(tree, i); way++) {
			struct entry e;
			int r = entry_at(tree, i, way, path, &e);
			if (r == 0 && (e.type != ENTRY_DIRECTORY || e.opaque))
				return 1;
			if (r < 0 && r != -ENOENT)
				return r;
		}
	}
	return 0;
}

/*
 * Is the folder `layer` hidden at a path, or on the way to it? Of wheels this is not
 * asked: where a graft leads a skeleton has the directory, which nothing outranks.
 */
static int is_hidden(const struct tree *tree, size_t layer, const char *to)
{
	cleanup_free char *path = strdup(to);
	if (!path)
		return -ENOMEM;
	for (size_t at = 0; path[at];) {
		at += strcspn(path + at + 1, "/") + 1;
		char kept = path[at];
		path[at] = '\0';
		int r = is_covered(tree, layer, path);
		path[at] = kept;
		if (r != 0)
			return r;
	}
	return 0;
}

static int append_sources(const struct tree *tree, size_t layer, const char *to,
			  struct buffer *sources)
{
	int r = 0;
	for (size_t way = 0; r == 0 && way < way_count(tree, layer); way++) {
		struct entry e;
		r = entry_at(tree, layer, way, to, &e);
		struct source s = { (uint32_t)layer, r == 0 ? e.number : 0 };
		if (r == 0 && e.type == ENTRY_DIRECTORY)
			r = buffer_append(sources, &s, sizeof(s));
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

int collect_sources(const struct tree *tree, const char *to, struct buffer *sources)
{
	for (size_t i = 0; i < tree->options.layer_count; i++) {
		int r = tree->layers[i].folder ? is_hidden(tree, i, to) : 0;
		if (r == 0)
			r = append_sources(tree, i, to, sources);
		if (r < 0)
			return r;
	}
	return 0;
}
