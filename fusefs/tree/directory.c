#include "fusefs/tree/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * A merged directory is made from its sources, the directories of single images that it
 * unites, and those are known from the merged directory above it. So one that is not in
 * the table (the server was started again, or nobody came by yet) is found by going up
 * until something is known, which the root and the grafts always are, and down again.
 */

enum { DEEPEST = 256 /* directories, as FORMAT.md allows */ };

uint64_t node_id(const struct tree *tree, size_t layer, uint32_t entry)
{
	return (uint64_t)tree->layers[layer].number << 32 | entry;
}

static size_t bucket_of(uint64_t node)
{
	return (size_t)((node * UINT64_C(0x9e3779b97f4a7c15)) >> 54) % BUCKETS;
}

struct directory *directory_known(struct tree *tree, uint64_t node)
{
	struct directory *dir = atomic_load(&tree->buckets[bucket_of(node)]);
	while (dir && dir->node != node)
		dir = dir->next;
	return dir;
}

struct directory *directory_make(struct tree *tree, uint64_t node,
				 const struct source *sources, size_t count)
{
	struct directory *dir = directory_known(tree, node);
	if (dir)
		return dir;
	dir = malloc(sizeof(*dir) + count * sizeof(*sources));
	if (!dir)
		return NULL;
	dir->node = node;
	dir->count = count;
	atomic_init(&dir->names, NULL);
	memcpy(dir->sources, sources, count * sizeof(*sources));
	/* Two threads may both get here: both directories are right, and the table keeps
	 * both until the end. */
	_Atomic(struct directory *) *bucket = &tree->buckets[bucket_of(node)];
	dir->next = atomic_load(bucket);
	while (!atomic_compare_exchange_weak(bucket, &dir->next, dir))
		;
	return dir;
}

static void names_free(struct names *names)
{
	if (!names)
		return;
	free(names->by_name);
	free(names->by_node);
	free(names->hidden);
	free(names);
}
DEFINE_CLEANUP(struct names *, names_free);

void directory_free(struct directory *dir)
{
	names_free(atomic_load(&dir->names));
	free(dir);
}

/* A child of one source, as long as names are being merged. */
struct child {
	const char *name;
	uint16_t name_size;
	bool opaque;
	enum entry_type type;
	uint32_t rank; /* of its source: lower wins */
	struct source source;
};

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
	int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
	return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_children(const void *a, const void *b)
{
	const struct child *x = a;
	const struct child *y = b;
	int order = compare_names(x->name, x->name_size, y->name, y->name_size);
	return order != 0 ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

static int count_children(struct tree *tree, const struct directory *dir, size_t *ret)
{
	size_t count = 0;
	for (size_t i = 0; i < dir->count; i++) {
		struct entry e;
		int r = image_entry(tree->layers[dir->sources[i].layer].image,
				    dir->sources[i].entry, &e);
		if (r < 0)
			return r;
		if (e.type != ENTRY_DIRECTORY)
			return -EBADMSG;
		count += e.size;
	}
	*ret = count;
	return count < UINT32_MAX / 2 ? 0 : -EBADMSG;
}

static int collect_source(struct tree *tree, const struct directory *dir, size_t i,
			  struct child *children, size_t room, size_t *count)
{
	struct source s = dir->sources[i];
	struct image *image = tree->layers[s.layer].image;
	struct entry e;
	int r = image_entry(image, s.entry, &e);
	for (uint32_t k = 0; r == 0 && k < e.size; k++) {
		struct entry c;
		r = *count < room ? image_entry(image, e.first_child + k, &c) : -EBADMSG;
		if (r < 0)
			break;
		children[(*count)++] = (struct child){
			.name = c.name,
			.name_size = c.name_size,
			.opaque = c.opaque,
			.type = c.type,
			.rank = (uint32_t)i,
			.source = { s.layer, c.number },
		};
	}
	return r;
}

static int collect_children(struct tree *tree, const struct directory *dir,
			    struct child **ret, size_t *ret_count)
{
	size_t room;
	size_t count = 0;
	int r = count_children(tree, dir, &room);
	if (r < 0)
		return r;
	cleanup_free struct child *children = calloc(room + 1, sizeof(*children));
	if (!children)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < dir->count; i++)
		r = collect_source(tree, dir, i, children, room, &count);
	if (r < 0)
		return r;
	qsort(children, count, sizeof(*children), compare_children);
	*ret = steal_ptr(children);
	*ret_count = count;
	return 0;
}

/* Does the second of two directories of one name show through the first? */
static bool shines_through(const struct child *first, const struct child *second)
{
	return first->type == ENTRY_DIRECTORY && !first->opaque &&
	       second->type == ENTRY_DIRECTORY;
}

/* Takes the run of children of one name that begins at `c`; the next run's start. */
static const struct child *merge_name(struct names *names, size_t *hidden,
				      const struct child *c, const struct child *end)
{
	const struct child *next = c + 1;
	while (next < end &&
	       compare_names(c->name, c->name_size, next->name, next->name_size) == 0)
		next++;
	if (c->type == ENTRY_ABSENT)
		return next;
	struct merged_name *m = &names->by_name[names->count++];
	*m = (struct merged_name){ .shown = c->source,
				   .first_hidden = (uint32_t)*hidden,
				   .hidden = (uint32_t)(next - c - 1) & INT32_MAX,
				   .shared = next - c > 1 && shines_through(c, c + 1) };
	for (const struct child *h = c + 1; h < next; h++)
		names->hidden[(*hidden)++] = h->source;
	return next;
}

struct sorter {
	const struct tree *tree;
	const struct names *names;
};

static int compare_nodes(const void *a, const void *b, void *context)
{
	const struct sorter *s = context;
	const struct source *x = &s->names->by_name[*(const uint32_t *)a].shown;
	const struct source *y = &s->names->by_name[*(const uint32_t *)b].shown;
	uint64_t m = node_id(s->tree, x->layer, x->entry);
	uint64_t n = node_id(s->tree, y->layer, y->entry);
	return (m > n) - (m < n);
}

static int names_make(struct tree *tree, const struct directory *dir, struct names **ret)
{
	cleanup_free struct child *children = NULL;
	CLEANUP(names_freep) struct names *names = calloc(1, sizeof(*names));
	size_t count;
	size_t hidden = 0;
	int r = names ? collect_children(tree, dir, &children, &count) : -ENOMEM;
	if (r < 0)
		return r;
	names->by_name = calloc(count + 1, sizeof(*names->by_name));
	names->by_node = calloc(count + 1, sizeof(*names->by_node));
	names->hidden = calloc(count + 1, sizeof(*names->hidden));
	if (!names->by_name || !names->by_node || !names->hidden)
		return -ENOMEM;
	const struct child *end = children + count;
	for (const struct child *c = children; c < end;)
		c = merge_name(names, &hidden, c, end);
	for (uint32_t i = 0; i < names->count; i++)
		names->by_node[i] = i;
	struct sorter s = { tree, names };
	qsort_r(names->by_node, names->count, sizeof(*names->by_node), compare_nodes, &s);
	*ret = steal_ptr(names);
	return 0;
}

int directory_names(struct tree *tree, struct directory *dir, const struct names **ret)
{
	struct names *known = atomic_load(&dir->names);
	CLEANUP(names_freep) struct names *made = NULL;
	if (!known) {
		int r = names_make(tree, dir, &made);
		if (r < 0)
			return r;
		if (atomic_compare_exchange_strong(&dir->names, &known, made))
			known = steal_ptr(made);
	}
	*ret = known;
	return 0;
}

static int compare_to_entry(const struct tree *tree, const struct merged_name *m,
			    const char *name, size_t name_size, int *ret_order)
{
	struct entry e;
	int r = image_entry(tree->layers[m->shown.layer].image, m->shown.entry, &e);
	if (r == 0)
		*ret_order = compare_names(name, name_size, e.name, e.name_size);
	return r;
}

int names_find(struct tree *tree, const struct names *names, const char *name,
	       size_t name_size, const struct merged_name **ret)
{
	size_t low = 0;
	size_t high = names->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = 0;
		int r = compare_to_entry(tree, &names->by_name[middle], name, name_size,
					 &order);
		if (r < 0)
			return r;
		if (order == 0) {
			*ret = &names->by_name[middle];
			return 0;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

int directory_child(struct tree *tree, const struct names *names,
		    const struct merged_name *name, struct directory **ret)
{
	uint64_t node = node_id(tree, name->shown.layer, name->shown.entry);
	*ret = directory_known(tree, node);
	if (*ret)
		return 0;
	size_t count = 0;
	cleanup_free struct source *sources =
	    calloc((size_t)name->hidden + 1, sizeof(*sources));
	if (!sources)
		return -ENOMEM;
	struct entry e = { .type = ENTRY_DIRECTORY };
	for (size_t i = 0; i <= name->hidden && !e.opaque; i++) {
		struct source s =
		    i == 0 ? name->shown : names->hidden[name->first_hidden + i - 1];
		int r = image_entry(tree->layers[s.layer].image, s.entry, &e);
		if (r < 0)
			return r;
		if (e.type != ENTRY_DIRECTORY)
			break;
		sources[count++] = s;
	}
	*ret = directory_make(tree, node, sources, count);
	return *ret ? 0 : -ENOMEM;
}

/* Where a graft's own directory entry leads, the entry being a child of entry 0. */
static struct directory *find_graft(const struct tree *tree, const struct entry *e)
{
	for (size_t i = 0; i < tree->options.graft_count; i++) {
		const char *from = tree->options.grafts[i].from;
		if (strlen(from) == e->name_size &&
		    memcmp(from, e->name, e->name_size) == 0)
			return tree->grafts[i];
	}
	return NULL;
}

/* The merged directory that an entry is by its layer's place alone, or NULL. -ENOENT:
 * nothing of it is shown. */
static int find_anchor(struct tree *tree, const struct node *node, struct directory **ret)
{
	*ret = NULL;
	if (tree->layers[node->layer].folder) {
		if (node->entry.number == 0)
			*ret = directory_known(tree, TREE_ROOT);
		return 0;
	}
	if (node->entry.parent != 0)
		return 0;
	*ret = find_graft(tree, &node->entry);
	return *ret ? 0 : -ENOENT; /* beside the grafts: not shown */
}

/* One step down: the place of the directory `e` of `layer`, whose parent's place is in
 * *place. */
static int descend(struct tree *tree, size_t layer, const struct entry *e,
		   struct place *place)
{
	const struct names *names;
	const struct merged_name *m;
	if (!place->merged) {
		*place = (struct place){ .layer = layer, .entry = *e };
		return 0;
	}
	int r = directory_names(tree, place->merged, &names);
	if (r == 0)
		r = names_find(tree, names, e->name, e->name_size, &m);
	if (r < 0)
		return r;
	if (m->shared)
		return directory_child(tree, names, m, &place->merged);
	place->merged =
	    directory_known(tree, node_id(tree, m->shown.layer, m->shown.entry));
	if (!place->merged && (m->shown.layer != layer || m->shown.entry != e->number))
		return -ENOENT; /* another layer hides it */
	place->layer = layer;
	place->entry = *e;
	return 0;
}

int directory_find(struct tree *tree, uint64_t id, struct place *ret)
{
	uint32_t way[DEEPEST]; /* entries from the one asked for up to a known one */
	size_t steps = 0;
	struct node node;
	struct place place = { .merged = directory_known(tree, id) };
	if (place.merged) {
		*ret = place;
		return 0;
	}
	int r = tree_node(tree, id, &node);
	if (r < 0)
		return r;
	if (node.entry.type != ENTRY_DIRECTORY)
		return -ENOTDIR;
	while (!place.merged) {
		r = find_anchor(tree, &node, &place.merged);
		if (r < 0)
			return r;
		if (place.merged)
			break;
		if (steps == DEEPEST)
			return -EBADMSG;
		way[steps++] = node.entry.number;
		uint32_t parent = node.entry.parent;
		r = image_entry(node.image, parent, &node.entry);
		if (r < 0)
			return r;
		place.merged = directory_known(tree, node_id(tree, node.layer, parent));
	}
	while (steps > 0) {
		r = image_entry(node.image, way[--steps], &node.entry);
		if (r == 0)
			r = descend(tree, node.layer, &node.entry, &place);
		if (r < 0)
			return r;
	}
	*ret = place;
	return 0;
}
