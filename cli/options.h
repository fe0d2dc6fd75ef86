/*
 * Command lines: a table of options a verb, parsed by getopt_long(3), from which the help
 * text is made too. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum option_kind {
	OPTION_FLAG, /* bool: set */
	OPTION_TEXT, /* const char *: the last one given stands */
	OPTION_LIST, /* struct text_list: each one is appended */
};

struct text_list {
	const char **items; /* borrowed from argv */
	size_t count;
};

struct option_spec {
	const char *name; /* long name, without dashes */
	char letter;      /* or 0 */
	enum option_kind kind;
	size_t offset;        /* of the value in the verb's struct */
	const char *argument; /* what help calls it; NULL for a flag */
	const char *help;
};

/* What a verb is. `usage` follows the verb's name; `about` is a line or a few. */
struct command {
	const char *name;
	const char *usage;
	const char *summary; /* in the list of verbs */
	const char *about;
	const struct option_spec *options; /* ends with a NULL name */
	int (*run)(const struct command *command, int argc, char **argv);
	const struct command *subcommands; /* ends with a NULL name; or NULL */
};

enum { EXIT_USAGE = 2 };

/*
 * Parses argv (argv[0] is the verb) into `values`, a struct that the offsets belong to.
 * Returns -1 with *ret_first = index of the first operand (all operands stand at the
 * end), or an exit status: 0 after --help was printed, EXIT_USAGE after a line that says
 * what was wrong.
 */
int options_parse(const struct command *command, int argc, char **argv, void *values,
		  int *ret_first);
void text_list_release(struct text_list *list);

void options_print_help(const struct command *command);
/* "venvfs mount: <text>" and where help is, on stderr. EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int
options_wrong_usage(const struct command *command, const char *format, ...);
/* Runs the subcommand that argv[1] names. */
int options_run_subcommand(const struct command *command, int argc, char **argv);
