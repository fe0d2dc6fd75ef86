/* A small lower in memory, with an upper in a folder over it. */
#pragma once

#include "fusefs/overlay/overlay.h"
#include "fusefs/tree/tree.h"
#include "fusefs/upper/upper.h"

struct upper_tree {
	int fd; /* of the image */
	struct image *image;
	struct tree *tree;
	struct upper *upper;
	struct overlay *overlay;
};

/* Below are "a", "d/b", "d/c" and "l" -> "a". */
int upper_tree_lower(struct upper_tree *t);
/* Opens the upper in `path`, and the overlay. */
int upper_tree_open(struct upper_tree *t, const char *path);
void upper_tree_close(struct upper_tree *t);
