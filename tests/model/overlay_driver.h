/* Requests and answers of overlay_driver, and what it drives. */
#pragma once

#include "fusefs/overlay/changes.h"

enum { NUMBERS = 16, PARTS = 2, READ_MOST = 1 << 20 };

struct request {
	int64_t numbers[NUMBERS];
	struct buffer parts[PARTS];
};

struct answer {
	struct buffer numbers, bytes;
	bool has_bytes;
};

struct driver {
	struct store *store;
	struct image *image;
	struct tree *tree;
	struct upper *upper;
	struct overlay *overlay;
	struct caller caller;
	void *scratch; /* IMAGE_SCRATCH(READ_MOST) */
};

uint64_t request_number(const struct request *q, int i);
const char *request_text(struct request *q, int i);
void answer_add(struct answer *a, int64_t value);
void answer_add_bytes(struct answer *a, const void *bytes, size_t size);
int answer_add_stat(struct answer *a, const struct stat *st);

/* A verb answers 0 or a negative errno. */
typedef int verb(struct driver *d, struct request *q, struct answer *a);
/* overlay_verbs.c; NULL: there is none of that name. */
verb *verb_find(const char *name);

/*
 * overlay_walk.c: "walk dir follow +path" gives the directory, the last name, and the
 * node if there is one; "parent-of dir +path" asks nothing of the last name.
 */
verb do_walk;
verb do_parent_of;
