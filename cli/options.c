#include "cli/options.h"

#include "cli/output.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MOST = 64, HELP_CODE = 1000, FIRST_CODE = 1001 };

static size_t option_count(const struct command *command)
{
	size_t count = 0;
	while (command->options && command->options[count].name)
		count++;
	return count < OPTIONS_MOST ? count : OPTIONS_MOST;
}

static void fill_tables(const struct command *command, struct option *longs,
			char *letters)
{
	size_t count = option_count(command);
	/* A leading ':' tells a missing argument from an unknown option. */
	*letters++ = ':';
	*letters++ = 'h';
	for (size_t i = 0; i < count; i++) {
		const struct option_spec *spec = &command->options[i];
		bool takes = spec->kind != OPTION_FLAG;
		longs[i] =
		    (struct option){ .name = spec->name,
				     .has_arg = takes ? required_argument : no_argument,
				     .val = FIRST_CODE + (int)i };
		if (spec->letter)
			*letters++ = spec->letter;
		if (spec->letter && takes)
			*letters++ = ':';
	}
	longs[count] = (struct option){ .name = "help", .val = HELP_CODE };
	longs[count + 1] = (struct option){ .name = NULL };
	*letters = '\0';
}

static int append(struct text_list *list, const char *text)
{
	const char **items = reallocarray(list->items, list->count + 1, sizeof(*items));
	if (!items)
		return -1;
	list->items = items;
	items[list->count++] = text;
	return 0;
}

void text_list_release(struct text_list *list)
{
	free(list->items);
	*list = (struct text_list){ .items = NULL };
}

static int set_value(const struct option_spec *spec, void *values, const char *text)
{
	void *at = (char *)values + spec->offset;
	if (spec->kind == OPTION_FLAG)
		*(bool *)at = true;
	else if (spec->kind == OPTION_TEXT)
		*(const char **)at = text;
	else
		return append(at, text);
	return 0;
}

static const struct option_spec *find_spec(const struct command *command, int code)
{
	if (code >= FIRST_CODE)
		return &command->options[code - FIRST_CODE];
	for (size_t i = 0; i < option_count(command); i++) {
		if (command->options[i].letter == code)
			return &command->options[i];
	}
	return NULL;
}

static int unknown_option(const struct command *command, int argc, char **argv)
{
	if (optopt && optopt < HELP_CODE)
		return options_wrong_usage(command, "there is no option '-%c'", optopt);
	return options_wrong_usage(command, "there is no option '%s'",
				   optind > 0 && optind <= argc ? argv[optind - 1] : "?");
}

int options_parse(const struct command *command, int argc, char **argv, void *values,
		  int *ret_first)
{
	struct option longs[OPTIONS_MOST + 2];
	char letters[2 * OPTIONS_MOST + 4];
	fill_tables(command, longs, letters);
	optind = 0; /* glibc: starts over, and sorts operands to the end */
	opterr = 0;
	int code;
	while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (code == HELP_CODE || code == 'h') {
			options_print_help(command);
			return 0;
		}
		if (code == '?')
			return unknown_option(command, argc, argv);
		if (code == ':')
			return options_wrong_usage(command, "option '%s' needs a value",
						   argv[optind - 1]);
		const struct option_spec *spec = find_spec(command, code);
		if (!spec || set_value(spec, values, optarg) < 0)
			return options_wrong_usage(command, "cannot take option '%s'",
						   argv[optind - 1]);
	}
	*ret_first = optind;
	return -1;
}

static void print_option(const struct option_spec *spec)
{
	char left[64];
	char letter[8] = "    ";
	if (spec->letter)
		(void)snprintf(letter, sizeof(letter), "-%c, ", spec->letter);
	(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, spec->name,
		       spec->argument ? " " : "", spec->argument ? spec->argument : "");
	printf("  %-26s %s\n", left, spec->help);
}

void options_print_help(const struct command *command)
{
	printf("usage: venvfs %s%s%s\n", command->name, *command->usage ? " " : "",
	       command->usage);
	printf("\n%s\n", command->about);
	if (command->subcommands) {
		printf("\nverbs:\n");
		for (const struct command *c = command->subcommands; c->name; c++)
			printf("  %-10s %s\n", strrchr(c->name, ' ') + 1, c->summary);
	}
	printf("\noptions:\n");
	for (size_t i = 0; i < option_count(command); i++)
		print_option(&command->options[i]);
	printf("  %-26s %s\n", "-h, --help", "print this");
}

int options_wrong_usage(const struct command *command, const char *format, ...)
{
	char who[64];
	char text[1024];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)snprintf(who, sizeof(who), "venvfs %s", command->name);
	say_as(who, "%s (see: %s --help)", text, who);
	return EXIT_USAGE;
}

int options_run_subcommand(const struct command *command, int argc, char **argv)
{
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		options_print_help(command);
		return 0;
	}
	if (argc < 2)
		return options_wrong_usage(command, "which verb?");
	for (const struct command *c = command->subcommands; c->name; c++) {
		if (strcmp(strrchr(c->name, ' ') + 1, argv[1]) == 0)
			return c->run(c, argc - 1, argv + 1);
	}
	return options_wrong_usage(command, "there is no verb '%s'", argv[1]);
}
