#include "fusefs/tree/directory.h"
#include "fusefs/tree/links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NODE_ENTRY_BITS = 32, BLOCK_SIZE = 4096, SECTOR = 512 };

static int compare_numbers(const void *a, const void *b, void *context)
{
	const struct tree_layer *layers = context;
	uint32_t x = layers[*(const uint32_t *)a].number;
	uint32_t y = layers[*(const uint32_t *)b].number;
	return (x > y) - (x < y);
}

/* The node that the tree so far shows at a path. */
static int walk(struct tree *tree, const char *path, uint64_t *ret_node)
{
	struct node node = { .id = TREE_ROOT };
	while (*path) {
		size_t size = strcspn(path, "/");
		int r = tree_lookup(tree, node.id, path, size, &node);
		if (r < 0)
			return r;
		path += size + (path[size] == '/');
	}
	*ret_node = node.id;
	return 0;
}

static int make_graft(struct tree *tree, size_t i, struct error *reterr)
{
	const char *to = tree->options.grafts[i].to;
	cleanup_buffer struct buffer sources = BUFFER_INIT;
	uint64_t node;
	int r = walk(tree, to, &node);
	if (r == -ENOENT || r == -ENOTDIR)
		return error_set(reterr, -EBADMSG, "no layer holds the directory '%s'",
				 to);
	if (r == 0)
		r = collect_sources(tree, to, &sources);
	if (r < 0)
		return r;
	tree->grafts[i] =
	    directory_make(tree, node, (const struct source *)(const void *)sources.data,
			   sources.size / sizeof(struct source));
	return tree->grafts[i] ? 0 : -ENOMEM;
}

static int copy_options(struct tree *tree, const struct tree_options *o)
{
	struct tree_graft *grafts = calloc(o->graft_count + 1, sizeof(*grafts));
	tree->options = *o;
	tree->options.grafts = grafts;
	tree->options.graft_count = 0;
	tree->layers = calloc(o->layer_count + 1, sizeof(*tree->layers));
	tree->by_number = calloc(o->layer_count + 1, sizeof(*tree->by_number));
	tree->grafts = calloc(o->graft_count + 1, sizeof(struct directory *));
	tree->links = calloc(o->layer_count + 1, sizeof(*tree->links));
	if (!grafts || !tree->layers || !tree->by_number || !tree->grafts || !tree->links)
		return -ENOMEM;
	for (size_t i = 0; i < o->graft_count; i++) {
		grafts[i].from = strdup(o->grafts[i].from);
		grafts[i].to = strdup(o->grafts[i].to);
		tree->options.graft_count++;
		if (!grafts[i].from || !grafts[i].to)
			return -ENOMEM;
	}
	memcpy(tree->layers, o->layers, o->layer_count * sizeof(*tree->layers));
	for (uint32_t i = 0; i < o->layer_count; i++)
		tree->by_number[i] = i;
	qsort_r(tree->by_number, o->layer_count, sizeof(*tree->by_number),
		compare_numbers, tree->layers);
	tree->options.layers = tree->layers;
	return 0;
}

static int check_numbers(const struct tree *tree, struct error *reterr)
{
	uint32_t last = 0;
	for (size_t i = 0; i < tree->options.layer_count; i++) {
		uint32_t number = tree->layers[tree->by_number[i]].number;
		if (number <= last || number > TREE_LAYERS_MOST)
			return error_set(reterr, -EBADMSG,
					 "layer number %u is used twice or out of range",
					 number);
		last = number;
	}
	return 0;
}

int tree_new(const struct tree_options *options, struct tree **ret, struct error *reterr)
{
	CLEANUP(tree_freep) struct tree *tree = calloc(1, sizeof(*tree));
	cleanup_buffer struct buffer sources = BUFFER_INIT;
	if (!tree)
		return -ENOMEM;
	int r = copy_options(tree, options);
	if (r == 0)
		r = check_numbers(tree, reterr);
	if (r == 0)
		r = collect_sources(tree, "", &sources);
	if (r < 0)
		return r;
	if (!directory_make(tree, TREE_ROOT,
			    (const struct source *)(const void *)sources.data,
			    sources.size / sizeof(struct source)))
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < tree->options.graft_count; i++)
		r = make_graft(tree, i, reterr);
	if (r < 0)
		return r;
	*ret = steal_ptr(tree);
	return 0;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct directory *dir = atomic_load(&tree->buckets[i]);
		while (dir) {
			struct directory *next = dir->next;
			directory_free(dir);
			dir = next;
		}
	}
	for (size_t i = 0; tree->options.grafts && i < tree->options.graft_count; i++) {
		free((void *)(uintptr_t)tree->options.grafts[i].from);
		free((void *)(uintptr_t)tree->options.grafts[i].to);
	}
	free((void *)(uintptr_t)tree->options.grafts);
	for (size_t i = 0; tree->links && i < tree->options.layer_count; i++)
		free(atomic_load(&tree->links[i]));
	free(tree->links);
	free(tree->layers);
	free(tree->by_number);
	free(tree->grafts);
	free(tree);
}

static int find_layer(const struct tree *tree, uint64_t number, size_t *ret)
{
	size_t low = 0;
	size_t high = tree->options.layer_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint32_t found = tree->layers[tree->by_number[middle]].number;
		if (found == number) {
			*ret = tree->by_number[middle];
			return 0;
		}
		if (number < found)
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

/* A further hard link is its first, but for the name that it goes by. */
static int take_first_link(const struct tree *tree, uint32_t first, struct node *node)
{
	struct entry own = node->entry;
	int r = image_entry(node->image, first, &node->entry);
	if (r < 0)
		return r;
	if (node->entry.type != own.type)
		return -EBADMSG;
	node->entry.name = own.name;
	node->entry.name_size = own.name_size;
	node->entry.parent = own.parent;
	node->id = node_id(tree, node->layer, first);
	return 0;
}

/* What only a folder has: owners and hard links. */
static int fill_from_folder(struct tree *tree, struct node *node)
{
	uint32_t first;
	uint32_t number = node->entry.number;
	if (tree->options.keep_owner) {
		int r = image_owner(node->image, number, &node->uid, &node->gid);
		if (r < 0 && r != -ENODATA)
			return r;
	}
	if (node->entry.type == ENTRY_DIRECTORY)
		return 0;
	int r = links_find(tree, node->layer, number, &first, &node->links);
	return r < 0 || first == number ? r : take_first_link(tree, first, node);
}

static int take_entry(struct tree *tree, size_t layer, const struct entry *e,
		      struct node *ret)
{
	uint64_t id = node_id(tree, layer, e->number);
	*ret = (struct node){ .id = id,
			      .name_id = id,
			      .layer = layer,
			      .image = tree->layers[layer].image,
			      .entry = *e,
			      .links = 1,
			      .uid = tree->options.uid,
			      .gid = tree->options.gid };
	return tree->layers[layer].folder ? fill_from_folder(tree, ret) : 0;
}

static int fill_node(struct tree *tree, struct source s, struct node *ret)
{
	struct entry e;
	int r = image_entry(tree->layers[s.layer].image, s.entry, &e);
	return r < 0 ? r : take_entry(tree, s.layer, &e, ret);
}

/* The root is of no single layer; it looks like the first that has it. */
static int root_node(struct tree *tree, struct node *ret)
{
	const struct directory *root = directory_known(tree, TREE_ROOT);
	int r =
	    root && root->count > 0 ? fill_node(tree, root->sources[0], ret) : -ENOENT;
	ret->id = TREE_ROOT;
	return r;
}

int tree_node(struct tree *tree, uint64_t id, struct node *ret)
{
	size_t layer;
	if (id == TREE_ROOT)
		return root_node(tree, ret);
	int r = find_layer(tree, id >> NODE_ENTRY_BITS, &layer);
	if (r < 0)
		return r;
	r = fill_node(tree, (struct source){ (uint32_t)layer, (uint32_t)id }, ret);
	return r == 0 && ret->entry.type == ENTRY_ABSENT ? -ENOENT : r;
}

static int lookup_merged(struct tree *tree, struct directory *dir, const char *name,
			 size_t name_size, struct node *ret)
{
	const struct names *names;
	const struct merged_name *m;
	int r = directory_names(tree, dir, &names);
	if (r == 0)
		r = names_find(tree, names, name, name_size, &m);
	return r < 0 ? r : fill_node(tree, m->shown, ret);
}

int tree_lookup(struct tree *tree, uint64_t dir, const char *name, size_t name_size,
		struct node *ret)
{
	struct place place;
	if (name_size > 255)
		return -ENAMETOOLONG;
	int r = directory_find(tree, dir, &place);
	if (r < 0)
		return r;
	if (place.merged)
		return lookup_merged(tree, place.merged, name, name_size, ret);
	struct entry e;
	r = image_lookup(tree->layers[place.layer].image, place.entry.number, name,
			 name_size, &e);
	if (r == 0 && e.type == ENTRY_ABSENT)
		r = -ENOENT;
	return r < 0 ? r : take_entry(tree, place.layer, &e, ret);
}

int tree_parent(struct tree *tree, uint64_t dir, uint64_t *ret_parent)
{
	struct node node;
	struct place place;
	*ret_parent = TREE_ROOT;
	if (dir == TREE_ROOT)
		return 0;
	int r = tree_node(tree, dir, &node);
	if (r < 0)
		return r;
	uint64_t parent = node_id(tree, node.layer, node.entry.parent);
	r = directory_find(tree, parent, &place);
	if (r == 0)
		*ret_parent = place.merged ? place.merged->node : parent;
	return r;
}

void tree_stat(const struct tree *tree, const struct node *node, struct stat *ret)
{
	static const mode_t types[] = {
		[ENTRY_DIRECTORY] = S_IFDIR, [ENTRY_FILE] = S_IFREG,
		[ENTRY_SYMLINK] = S_IFLNK,   [ENTRY_FIFO] = S_IFIFO,
		[ENTRY_SOCKET] = S_IFSOCK,   [ENTRY_ABSENT] = 0,
	};
	const struct entry *e = &node->entry;
	bool is_directory = e->type == ENTRY_DIRECTORY;
	*ret = (struct stat){
		.st_ino = node->id,
		.st_mode = types[e->type] | (e->mode & 07777u),
		/* 1 for directories too: "the number of subdirectories is not known". */
		.st_nlink = node->links,
		.st_uid = node->uid,
		.st_gid = node->gid,
		.st_size = is_directory ? 0 : (off_t)e->size,
		.st_blksize = BLOCK_SIZE,
	};
	ret->st_blocks =
	    e->type == ENTRY_FILE ? (blkcnt_t)((e->size + SECTOR - 1) / SECTOR) : 0;
	if (is_directory && !tree->layers[node->layer].folder) {
		ret->st_mtim.tv_sec = tree->options.directory_mtime;
	} else {
		ret->st_mtim.tv_sec = e->mtime;
		ret->st_mtim.tv_nsec = (long)e->mtime_nsec;
	}
	ret->st_ctim = ret->st_mtim;
	ret->st_atim = ret->st_mtim;
}

int tree_xattr(const struct tree *tree, const struct node *node, uint32_t i,
	       struct xattr *ret)
{
	return image_xattr(tree->layers[node->layer].image, node->entry.number, i, ret);
}

/* The first of by_node whose cookie is greater than `after`. */
static size_t first_after(const struct tree *tree, const struct names *names,
			  uint64_t after)
{
	size_t low = 0;
	size_t high = names->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct source *s = &names->by_name[names->by_node[middle]].shown;
		if (tree_cookie(node_id(tree, s->layer, s->entry)) > after)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int list_merged(struct tree *tree, struct directory *dir, uint64_t after,
		       tree_visit *visit, void *context)
{
	const struct names *names;
	int r = directory_names(tree, dir, &names);
	if (r < 0)
		return r;
	for (size_t i = first_after(tree, names, after); i < names->count; i++) {
		struct node child;
		r = fill_node(tree, names->by_name[names->by_node[i]].shown, &child);
		if (r == 0)
			r = visit(context, &child, tree_cookie(child.name_id));
		if (r != 0)
			return r;
	}
	return 0;
}

static int list_single(struct tree *tree, const struct place *place, uint64_t after,
		       tree_visit *visit, void *context)
{
	uint64_t first = node_id(tree, place->layer, place->entry.first_child);
	uint64_t end = first + place->entry.size;
	uint64_t next = after >= tree_cookie(first) ? after - tree_cookie(0) + 1 : first;
	for (; next < end; next++) {
		struct node child;
		struct source s = { (uint32_t)place->layer, (uint32_t)next };
		int r = fill_node(tree, s, &child);
		if (r == 0 && child.entry.type != ENTRY_ABSENT)
			r = visit(context, &child, tree_cookie(child.name_id));
		if (r != 0)
			return r;
	}
	return 0;
}

int tree_list(struct tree *tree, uint64_t dir, uint64_t after, tree_visit *visit,
	      void *context)
{
	struct place place;
	int r = directory_find(tree, dir, &place);
	if (r < 0)
		return r;
	return place.merged ? list_merged(tree, place.merged, after, visit, context)
			    : list_single(tree, &place, after, visit, context);
}
