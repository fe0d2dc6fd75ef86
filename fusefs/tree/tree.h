/*
 * Images united into one read-only tree, addressed by node id. Nothing of it is a path:
 * an id says layer and entry, so that a server that was started again answers for every
 * id that an earlier one gave out.
 *
 * All that images hold is untrusted; each call may return -EBADMSG. A call allocates only
 * at the first visit of a directory that several layers have. Any thread after
 * tree_new().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cache/base/error.h"
#include "cache/store/image.h"

/*
 * layer number << 32 | entry number, below 2^53 so that programs that keep inode numbers
 * in doubles work. The bit above those of layer numbers is the writable layer's. The root
 * of the tree is node 1 (no layer has the number 0).
 */
enum { TREE_ROOT = 1 };
#define TREE_LAYERS_MOST ((1u << 19) - 1)

struct tree_layer {
	uint32_t number;     /* 1 ... TREE_LAYERS_MOST; never used for another image */
	struct image *image; /* borrowed, must outlive the tree */
	bool quiet;          /* a skeleton or folder: what it hides is no clash */
	/*
	 * A plain folder: its root is the tree's, whatever the grafts are; its
	 * directories show their own mtime, and names that are hard links are one node.
	 */
	bool folder;
};

/* A directory in the root of each other image, and where in the tree its children appear.
 */
struct tree_graft {
	const char *from; /* "site-packages" */
	const char *to;   /* "lib/python3.11/site-packages"; "" is the root */
};

struct tree_options {
	const struct tree_layer *layers; /* highest priority first */
	size_t layer_count;
	const struct tree_graft *grafts; /* one to "" is needed, unless all are folders */
	size_t graft_count;
	int64_t directory_mtime; /* seconds; when the layers last changed */
	uid_t uid;               /* who owns everything, */
	gid_t gid;
	bool keep_owner; /* except in folders, where those owners are shown */
};

struct tree;

/*
 * Copies the options. -EBADMSG: an image is damaged, or a graft leads to a directory that
 * no layer holds.
 */
int tree_new(const struct tree_options *options, struct tree **ret, struct error *reterr);
void tree_free(struct tree *tree);
DEFINE_CLEANUP(struct tree *, tree_free);

/*
 * Of hard links in a folder all have the id and the entry of the first; what `entry` says
 * of name and parent is that of the name asked for. `links` counts the names that the
 * folder held, also those that a higher layer hides.
 */
struct node {
	uint64_t id;
	uint64_t name_id; /* of the name's own entry, in the form of id: for cookies */
	size_t layer;     /* index in the options' layers */
	struct image *image;
	struct entry entry;
	uint32_t links;
	uid_t uid;
	gid_t gid;
};

/* -ENOENT: no such id. */
int tree_node(struct tree *tree, uint64_t id, struct node *ret);
/* -ENOENT, -ENOTDIR. */
int tree_lookup(struct tree *tree, uint64_t dir, const char *name, size_t name_size,
		struct node *ret);
/* The directory that holds `dir`, a directory; the root's is the root. */
int tree_parent(struct tree *tree, uint64_t dir, uint64_t *ret_parent);
void tree_stat(const struct tree *tree, const struct node *node, struct stat *ret);
/* The i-th extended attribute; -ENODATA: it has no more. Borrowed from the image. */
int tree_xattr(const struct tree *tree, const struct node *node, uint32_t i,
	       struct xattr *ret);

/*
 * Lists a directory in the order of cookies, from the first child whose cookie is greater
 * than `after` (0: from the start), until `visit` returns something else than 0, which is
 * returned. -ENOTDIR. A cookie is the child's name_id + 3, so that listings are
 * stateless, and that hard links in one directory have one each.
 */
typedef int tree_visit(void *context, const struct node *child, uint64_t cookie);
int tree_list(struct tree *tree, uint64_t dir, uint64_t after, tree_visit *visit,
	      void *context);
static inline uint64_t tree_cookie(uint64_t name_id)
{
	return name_id + 3;
}

/*
 * Two layers have another file at one path; the winner is what the tree shows. Layers are
 * indices in the options. Paths are relative to the root, "lib/python3.11/...".
 */
struct tree_clash {
	const char *path;
	size_t winner, loser;
};
typedef int tree_visit_clash(void *context, const struct tree_clash *clash);
/*
 * Equal files are no clash, nor is anything that a quiet layer hides. Visits merged
 * directories only, so it costs what they hold and not the whole tree.
 */
int tree_clashes(struct tree *tree, tree_visit_clash *visit, void *context);
