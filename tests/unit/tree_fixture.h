/* Layers made from a few words, and the tree of them; for the tests of fusefs/tree. */
#pragma once

#include "tests/unit/testing.h"

#include "cache/store/image_writer.h"
#include "fusefs/tree/tree.h"

enum { LAYERS_MOST = 8 };

/* Images in one memfd, as a skeleton pack is. */
struct fixture {
	int fd;
	uint64_t end;
	struct image *images[LAYERS_MOST];
	struct tree_layer layers[LAYERS_MOST];
	size_t count;
	struct tree *tree;
};

int setup(void **state);
int teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The next layer, of lower priority than those before. */
void add_image(struct fixture *f, uint32_t number, struct image_writer *w);
/*
 * One of items that end with NULL: a file "path" or "path=content" ("path=ABSENT"), or a
 * directory that ends with '/', opaque when it begins with '!'.
 */
void add_layer(struct fixture *f, uint32_t number, const char *const items[]);

#define LAYER(f, number, ...) \
	add_layer(f, number, (const char *const[]){ __VA_ARGS__, NULL })
/* The same as a plain folder. */
#define FOLDER(f, number, ...)                             \
	do {                                               \
		LAYER(f, number, __VA_ARGS__);             \
		(f)->layers[(f)->count - 1].folder = true; \
	} while (0)

/* With the grafts "root" to "" and "site" to "lib/site". */
int unite(struct fixture *f);
/* Folders only: no grafts. Owner 7, group 8. */
int unite_folders(struct fixture *f, bool keep_owner);

int find(struct fixture *f, const char *path, struct node *ret);
void assert_content(struct fixture *f, const char *path, const char *expected);
int append_name(void *context, const struct node *child, uint64_t cookie);
/* Each name with a space behind it, in the order of cookies. */
void assert_listing(struct fixture *f, const char *path, const char *expected);
