#include "cli/commands.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	const struct command *command;
	bool hidden;
} verbs[] = {
	{ "mount", &command_mount, false },   { "unmount", &command_unmount, false },
	{ "umount", &command_unmount, true }, { "list", &command_list, false },
	{ "cache", &command_cache, false },   { "serve-mount", &command_serve, true },
};

static void print_help(FILE *out)
{
	(void)fprintf(
	    out,
	    "usage: venvfs VERB [OPTIONS]\n\n"
	    "Python virtual environments served from one cache of unpacked wheels.\n\n"
	    "verbs:\n");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (!verbs[i].hidden)
			(void)fprintf(out, "  %-10s %s\n", verbs[i].name,
				      verbs[i].command->summary);
	}
	(void)fprintf(out,
		      "\noptions:\n"
		      "  -h, --help  print this; venvfs VERB --help tells about a verb\n"
		      "  --version   print the version\n");
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 ||
	    strcmp(verb, "help") == 0) {
		print_help(stdout);
		return finish_output(0);
	}
	if (strcmp(verb, "--version") == 0 || strcmp(verb, "-V") == 0) {
		printf("venvfs " VENVFS_VERSION "\n");
		return finish_output(0);
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(verbs[i].name, verb) == 0)
			return finish_output(
			    verbs[i].command->run(verbs[i].command, argc - 1, argv + 1));
	}
	if (!*verb)
		print_help(stderr);
	else
		say_as("venvfs", "there is no verb '%s' (see: venvfs --help)", verb);
	return EXIT_USAGE;
}
