/*
 * The process that serves a mount. `venvfs mount` starts it with descriptors that it
 * inherits; nobody else can use it.
 */
#include "cli/commands.h"
#include "fusefs/serve/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_fd(const char *text)
{
	char *end;
	long fd = strtol(text, &end, 10);
	return *text && !*end && fd > 2 && fd < 1024 ? (int)fd : -1;
}

static int run_serve(const struct command *command, int argc, char **argv)
{
	enum { STATE = 1, FUSE, READY, LOCK, SHARED, ARGUMENTS, GO = ARGUMENTS };
	if (argc != ARGUMENTS && argc != ARGUMENTS + 1)
		return options_wrong_usage(command, "this is for venvfs mount only");
	const struct server_fds fds = { .fuse = parse_fd(argv[FUSE]),
					.ready = parse_fd(argv[READY]),
					.lock = parse_fd(argv[LOCK]),
					.shared = parse_fd(argv[SHARED]),
					.go = argc > GO ? parse_fd(argv[GO]) : -1 };
	/* Those who follow one that died are not waited for. */
	bool waited_for = strcmp(argv[READY], "-") != 0;
	if (fds.fuse < 0 || fds.lock < 0 || fds.shared < 0 ||
	    (waited_for && fds.ready < 0) || (argc > GO && fds.go < 0))
		return options_wrong_usage(command, "this is for venvfs mount only");
	return server_run(argv[STATE], &fds);
}

const struct command command_serve = {
	"serve-mount",
	"STATE_DIRECTORY FUSE_FD READY_FD LOCK_FD SHARED_FD [GO_FD]",
	"",
	"Internal: serves a mount that venvfs mount has made.",
	NULL,
	run_serve,
	NULL
};
