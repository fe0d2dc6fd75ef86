#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <string.h>

/*
 * What a row that says "nothing" hides with a lower directory, as one digest: the XOR of
 * those of its children, each over name, NUL, type and the digest of content, target or
 * directory. So it does not depend on the order, nor on which layer has what.
 */
enum { DEEPEST = 1000, DIGEST_SIZE = sizeof(struct digest) };

struct hiding {
	struct tree *tree;
	unsigned depth;
	struct digest digest;
};

bool entry_is_bytecode_cache(const struct entry *e)
{
	static const char name[] = "__pycache__";
	return e->type == ENTRY_DIRECTORY && e->name_size == sizeof(name) - 1 &&
	       memcmp(e->name, name, e->name_size) == 0;
}

static int add_child(void *context, const struct node *child, uint64_t cookie);

static int digest_children(struct tree *tree, uint64_t dir, unsigned depth,
			   struct digest *ret)
{
	struct hiding h = { .tree = tree, .depth = depth };
	int r = depth < DEEPEST ? tree_list(tree, dir, 0, add_child, &h) : -ELOOP;
	*ret = h.digest;
	return r;
}

static int digest_child(struct hiding *h, const struct node *child, struct digest *ret)
{
	const struct entry *e = &child->entry;
	const char *target;
	int r = 0;
	*ret = (struct digest){ { 0 } };
	if (e->type == ENTRY_FILE)
		*ret = e->digest;
	else if (e->type == ENTRY_DIRECTORY)
		r = digest_children(h->tree, child->id, h->depth + 1, ret);
	else if (e->type == ENTRY_SYMLINK &&
		 (r = image_readlink(child->image, e, &target)) == 0)
		*ret = digest_of(target, e->size);
	return r;
}

static int add_child(void *context, const struct node *child, uint64_t cookie)
{
	struct hiding *h = context;
	const struct entry *e = &child->entry;
	char text[NAME_MOST + 2 + DIGEST_SIZE];
	struct digest digest;
	(void)cookie;
	if (entry_is_bytecode_cache(e))
		return 0;
	int r = digest_child(h, child, &digest);
	if (r < 0)
		return r;
	memcpy(text, e->name, e->name_size);
	text[e->name_size] = '\0';
	text[e->name_size + 1] = (char)e->type;
	memcpy(text + e->name_size + 2, digest.bytes, DIGEST_SIZE);
	digest = digest_of(text, e->name_size + 2 + DIGEST_SIZE);
	for (size_t i = 0; i < DIGEST_SIZE; i++)
		h->digest.bytes[i] ^= digest.bytes[i];
	return 0;
}

void name_hide(struct tree *tree, struct upper_dentry *row)
{
	struct node lower;
	if (row->node != 0 || row->has_base || row->cookie >= COOKIE_UPPER ||
	    tree_node(tree, row->cookie - tree_cookie(0), &lower) < 0 ||
	    lower.entry.type != ENTRY_DIRECTORY)
		return;
	row->has_base = digest_children(tree, lower.id, 0, &row->base) == 0;
}
