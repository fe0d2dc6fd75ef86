/*
 * An overlay over a small folder, with calls by path. What it lies over:
 *
 *   file  "0123456789", 06755, mtime 1000.5, user.k = "v"    fifo
 *   big   200000 bytes, each that of its block's number      link -> d/one
 *   h1 = d/h2, hard links    d/one    d/two    d/sub/x        empty/
 */
#pragma once

#include "tests/unit/tree_fixture.h"

#include "fusefs/overlay/changes.h"
#include "fusefs/overlay/report.h"
#include "fusefs/upper/upper.h"

enum { BIG = 200000 };

struct overlay_fixture {
	struct fixture *lower;
	char path[64]; /* of the upper */
	struct upper *upper;
	struct overlay *overlay;
	struct caller caller;
};

int overlay_setup(void **state);
int overlay_teardown(void **state);
#define OVERLAY_TEST(name) \
	cmocka_unit_test_setup_teardown(name, overlay_setup, overlay_teardown)

/* Unmounts and mounts again: nobody remembers anything. */
void restart(struct overlay_fixture *f);
void stop(struct overlay_fixture *f);
void start(struct overlay_fixture *f);

int look(struct overlay_fixture *f, const char *path, struct stat *ret);
struct stat see(struct overlay_fixture *f, const char *path);
uint64_t node_of(struct overlay_fixture *f, const char *path);
/* The directory of a path, whose last part is *ret_name. */
uint64_t dir_of(struct overlay_fixture *f, const char *path, const char **ret_name);

/* These are as what they call, and released; what is made is not remembered. */
int make(struct overlay_fixture *f, const char *path, mode_t mode, const char *target);
int drop(struct overlay_fixture *f, const char *path, bool directory);
int move(struct overlay_fixture *f, const char *from, const char *to, unsigned flags);
int join(struct overlay_fixture *f, uint64_t node, const char *path);
int set_xattr(struct overlay_fixture *f, const char *path, const char *name,
	      const char *value);
int set_attributes(struct overlay_fixture *f, const char *path, unsigned flags,
		   const struct stat *want);
int set_mode(struct overlay_fixture *f, const char *path, mode_t mode);
int set_size(struct overlay_fixture *f, const char *path, off_t size);
ssize_t put_text(struct overlay_fixture *f, uint64_t node, uint64_t at, const char *text);
/* A file with that text. */
uint64_t make_text(struct overlay_fixture *f, const char *path, const char *text);

void assert_text(struct overlay_fixture *f, uint64_t node, const char *expected);
void assert_names(struct overlay_fixture *f, const char *path, const char *expected);
void assert_xattr(struct overlay_fixture *f, const char *path, const char *name,
		  const char *expected);
/* How many files the upper holds in files/ or staging/. */
unsigned count_content(struct overlay_fixture *f, const char *folder);
/* The row of a name, if there is one. */
bool find_row(struct overlay_fixture *f, const char *path, struct upper_dentry *ret,
	      struct upper_node *ret_node);
/* Changes one byte of what `text` stands for in the images. */
void damage_lower(struct overlay_fixture *f, const char *text);
