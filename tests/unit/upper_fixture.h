/* A directory of changes in /tmp, and index.db as anybody could have altered it. */
#pragma once

#include "tests/unit/testing.h"

#include "fusefs/upper/content.h"
#include "fusefs/upper/upper.h"

enum { ROOT = 1 }; /* a lower directory that names are put into */

struct upper_fixture {
	char path[64];
	struct upper *upper; /* NULL while it is closed */
};

int upper_setup(void **state);
int upper_teardown(void **state);
#define UPPER_TEST(name) \
	cmocka_unit_test_setup_teardown(name, upper_setup, upper_teardown)

int upper_try(struct upper_fixture *f, struct error *reterr);
void upper_start(struct upper_fixture *f);
void upper_stop(struct upper_fixture *f);
/* Runs `change` in a process that opens the upper and is killed afterwards. */
void upper_crash(struct upper_fixture *f, void (*change)(struct upper *u));
/* Its calls check nothing by longjmp, so a process that will be killed can use them. */
uint64_t upper_add_file(struct upper *u, uint64_t parent, const char *name);
void upper_write(struct upper *u, uint64_t node, const char *text);

struct upper_node upper_row_of_file(uint64_t id);
struct upper_dentry upper_row_of_name(uint64_t parent, const char *name, uint64_t node,
				      uint64_t cookie);
int upper_lookup(struct upper *u, uint64_t parent, const char *name,
		 struct upper_dentry *ret, struct upper_node *ret_node);
/* Each name with a space behind it, "-name" where it is said not to be there. */
void assert_rows(struct upper *u, uint64_t parent, uint64_t after, const char *expected);

/* With the upper closed: any SQL, and the first number of a query. */
void upper_sql(const struct upper_fixture *f, const char *text);
int64_t upper_number(const struct upper_fixture *f, const char *query);
bool upper_holds(const struct upper_fixture *f, const char *below);
/* How many files lie in a folder of it and in the folders of that. */
unsigned upper_count_files(const struct upper_fixture *f, const char *below);
unsigned count_descriptors(void);
