/* An overlay over a folder, and another folder that it is carried over to. */
#pragma once

#include "tests/unit/overlay_fixture.h"

#include "fusefs/overlay/rebase.h"

#include <errno.h>

enum { NO_STEP = -1 };

struct rebase_fixture {
	struct overlay_fixture o;
	struct fixture *next;    /* of rebase_to() while it runs */
	uint32_t layer;          /* the last number given to a folder */
	struct buffer conflicts; /* "path " of each, of the last rebase */
	struct rebase_result result;
	int die_at; /* enum rebase_step, where the process is killed; NO_STEP */
};

int rebase_setup(void **state);
int rebase_teardown(void **state);
#define REBASE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, rebase_setup, rebase_teardown)

/*
 * What lies below, items as in tree_fixture.h, or "LINKED", "text": the files h1 and h2
 * are one ("ALONE": are two), beside a third. Changes may be made then.
 */
void rebase_from(struct rebase_fixture *f, const char *const items[]);
/* What overlay_rebase() says; after 0 the overlay is over the new folder. */
int rebase_to(struct rebase_fixture *f, const char *const items[]);
#define ITEMS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define FROM(f, ...) rebase_from(f, ITEMS(__VA_ARGS__))
/* Without a conflict. */
#define CARRY(f, ...)                                           \
	do {                                                    \
		int code_ = rebase_to(f, ITEMS(__VA_ARGS__));   \
		if (code_ != 0)                                 \
			fail_msg("%s: %s", strerror(-code_),    \
				 buffer_cstr(&(f)->conflicts)); \
	} while (0)
/* With these conflicts, "path " each, and nothing changed. */
#define REFUSE(f, expected, ...)                                             \
	do {                                                                 \
		assert_int_equal(rebase_to(f, ITEMS(__VA_ARGS__)), -EEXIST); \
		assert_string_equal(buffer_cstr(&(f)->conflicts), expected); \
	} while (0)

/* Content by path, and how many rows there are. */
void assert_file(struct rebase_fixture *f, const char *path, const char *expected);
void write_file(struct rebase_fixture *f, const char *path, const char *text);
void assert_absent(struct rebase_fixture *f, const char *path);
size_t count_rows(struct rebase_fixture *f);
/* The file `base` of the upper. */
void assert_base(struct rebase_fixture *f, const char *expected);
