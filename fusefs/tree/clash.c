#include "fusefs/tree/directory.h"

#include <errno.h>
#include <string.h>

struct search {
	struct tree *tree;
	tree_visit_clash *visit;
	void *context;
	struct buffer path;
};

static bool same_content(const struct entry *a, const struct entry *b, struct image *x,
			 struct image *y)
{
	const char *p;
	const char *q;
	if (a->type != b->type || (a->mode & 0111) != (b->mode & 0111))
		return false;
	switch (a->type) {
	case ENTRY_FILE:
		return a->size == b->size && digest_equal(&a->digest, &b->digest);
	case ENTRY_SYMLINK:
		return a->size == b->size && image_readlink(x, a, &p) == 0 &&
		       image_readlink(y, b, &q) == 0 && memcmp(p, q, a->size) == 0;
	case ENTRY_DIRECTORY:
	case ENTRY_FIFO:
	case ENTRY_SOCKET:
	case ENTRY_ABSENT:
		return true;
	}
	return false;
}

/* Compares what is shown with each that it hides; *ret_loud: directories that are not
 * skeletons. */
static int compare_name(struct search *s, const struct names *names,
			const struct merged_name *m, const struct entry *shown,
			size_t *ret_loud)
{
	const struct tree_layer *layers = s->tree->layers;
	const struct tree_layer *winner = &layers[m->shown.layer];
	*ret_loud = !winner->quiet;
	for (size_t i = 0; i < m->hidden; i++) {
		struct source h = names->hidden[m->first_hidden + i];
		struct entry e;
		int r = image_entry(layers[h.layer].image, h.entry, &e);
		*ret_loud += !layers[h.layer].quiet;
		if (r == 0 && !winner->quiet && !layers[h.layer].quiet &&
		    !same_content(shown, &e, winner->image, layers[h.layer].image)) {
			struct tree_clash clash = { buffer_cstr(&s->path), m->shown.layer,
						    h.layer };
			r = clash.path ? s->visit(s->context, &clash) : -ENOMEM;
		}
		if (r != 0)
			return r;
	}
	return 0;
}

/* Where grafts lead is searched on its own: layers meet there that have no common name
 * above. */
static bool is_graft(const struct tree *tree, const struct directory *dir)
{
	for (size_t i = 0; i < tree->options.graft_count; i++) {
		if (tree->grafts[i] == dir)
			return true;
	}
	return false;
}

static int search_directory(struct search *s, struct directory *dir);

static int search_name(struct search *s, const struct names *names,
		       const struct merged_name *m)
{
	struct tree *tree = s->tree;
	struct entry shown;
	struct directory *below = NULL;
	size_t before = s->path.size;
	size_t loud = 0;
	int r = image_entry(tree->layers[m->shown.layer].image, m->shown.entry, &shown);
	if (r == 0 && before > 0)
		r = buffer_append(&s->path, "/", 1);
	if (r == 0)
		r = buffer_append(&s->path, shown.name, shown.name_size);
	if (r == 0)
		r = compare_name(s, names, m, &shown, &loud);
	if (r == 0 && m->shared && loud > 1)
		r = directory_child(tree, names, m, &below);
	if (r == 0 && below && !is_graft(tree, below))
		r = search_directory(s, below);
	s->path.size = before;
	return r;
}

static int search_directory(struct search *s, struct directory *dir)
{
	const struct names *names;
	int r = directory_names(s->tree, dir, &names);
	for (size_t i = 0; r == 0 && i < names->count; i++) {
		if (names->by_name[i].hidden > 0)
			r = search_name(s, names, &names->by_name[i]);
	}
	return r;
}

int tree_clashes(struct tree *tree, tree_visit_clash *visit, void *context)
{
	struct search s = { .tree = tree, .visit = visit, .context = context };
	struct directory *root = directory_known(tree, TREE_ROOT);
	int r = root ? search_directory(&s, root) : 0;
	for (size_t i = 0; r == 0 && i < tree->options.graft_count; i++) {
		if (tree->grafts[i] == root)
			continue;
		s.path.size = 0;
		r = buffer_append_text(&s.path, tree->options.grafts[i].to);
		if (r == 0)
			r = search_directory(&s, tree->grafts[i]);
	}
	buffer_release(&s.path);
	return r;
}
