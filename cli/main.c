#include "cache/base/bytes.h"
#include "cli/commands.h"
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	const char *name;
	const struct command *command;
	bool hidden;
} verbs[] = {
	{ "mount", &command_mount, false },      { "unmount", &command_unmount, false },
	{ "umount", &command_unmount, true },    { "list", &command_list, false },
	{ "status", &command_status, false },    { "refresh", &command_refresh, false },
	{ "export", &command_export, false },    { "exec", &command_exec, false },
	{ "upgrade", &command_upgrade, false },  { "cache", &command_cache, false },
	{ "serve-mount", &command_serve, true }, { "leave-mount", &command_leave, true },
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

/* The server works elsewhere, so what it inherits must mean the same everywhere. */
static int make_absolute(const char *variable)
{
	const char *list = getenv(variable);
	cleanup_buffer struct buffer absolute = BUFFER_INIT;
	cleanup_free char *here = getcwd(NULL, 0);
	int r = 0;
	while (r == 0 && list && here && *list) {
		int size = (int)strcspn(list, ":");
		bool relative = size > 0 && *list != '/';
		r = buffer_printf(&absolute, "%s%s%s%.*s", absolute.size ? ":" : "",
				  relative ? here : "", relative ? "/" : "", size, list);
		list += size + (list[size] == ':');
	}
	const char *text = r == 0 && absolute.size ? buffer_cstr(&absolute) : NULL;
	return text ? setenv(variable, text, 1) : r;
}

/*
 * Those that are closed: or what is opened next has their number, and what is said is
 * written there. To use these fails as it would have.
 */
static void occupy_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
	}
}

/* A server has no capability, root's neither: what is made for it, its owner must open.
 */
static void let_owners_open(void)
{
	enum { OTHERS = 077 };
	const mode_t mask = umask(OTHERS);
	(void)umask(mask & OTHERS);
}

int main(int argc, char **argv)
{
	occupy_standard_descriptors();
	let_owners_open();
	if (make_absolute("VENVFS_CACHE_DIR") < 0 ||
	    make_absolute("VENVFS_CACHE_PATH") < 0)
		return finish_output(1);
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
