#include "cache/base/file.h"
#include "cli/behalf.h"
#include "cli/commands.h"
#include "cli/environment_dir.h"
#include "cli/meet.h"
#include "cli/output.h"
#include "fusefs/serve/teller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct refresh_options {
	const char *user;
};

static const struct option_spec refresh_options[] = {
	BEHALF_OPTION(struct refresh_options),
	{ .name = NULL },
};

struct walk {
	struct teller *teller;
	dev_t device; /* what is mounted in the mount is not ours */
};

static int forget_directory(struct walk *w, int take_fd, uint64_t node);

/* An inode number is a node's id. What is gone by now needs no telling. */
static int forget_entry(struct walk *w, int dirfd, uint64_t parent,
			const struct dirent *entry)
{
	int r = 0;
	struct stat st;
	if (entry->d_type == DT_DIR) {
		int fd = file_open(dirfd, entry->d_name,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == w->device)
			r = forget_directory(w, fd, entry->d_ino);
		else if (fd >= 0)
			(void)close(fd);
	} else {
		r = teller_node(w->teller, entry->d_ino);
	}
	return r == 0 && teller_can_expire(w->teller)
		   ? teller_expire(w->teller, parent, entry->d_name)
		   : r;
}

/* What lies in it first: to get there makes the kernel remember what stands above. */
static int forget_directory(struct walk *w, int take_fd, uint64_t node)
{
	cleanup_fd int fd = take_fd;
	cleanup_dir DIR *dir = file_list_dir(fd);
	const struct dirent *entry;
	int r = dir ? 0 : -errno;
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = forget_entry(w, fd, node, entry);
	}
	return r == 0 ? teller_node(w->teller, node) : r;
}

static int refresh(const char *path, const struct state *state, const struct plan *plan,
		   struct error *reterr)
{
	const struct control_place place = meet_place(state, plan);
	struct stat st;
	CLEANUP(teller_closep) struct teller *teller = NULL;
	cleanup_fd int fd =
	    file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(reterr, fd < 0 ? fd : -errno, "cannot open '%s'",
				   path);
	int r = teller_open(&place, &teller, reterr);
	struct walk walk = { .teller = teller, .device = st.st_dev };
	if (r < 0)
		return error_prefix(reterr, r, "'%s'", path);
	r = forget_directory(&walk, steal_fd(&fd), st.st_ino);
	return r < 0 ? error_errno(reterr, r, "cannot refresh '%s'%s", path,
				   r == -ETIMEDOUT ? ": a request that is under way is "
						     "in the way (venvfs status)"
						   : "")
		     : 0;
}

static int run_refresh(const struct command *command, int argc, char **argv)
{
	struct refresh_options o = { .user = NULL };
	struct error err = ERROR_INIT;
	CLEANUP(state_freep) struct state *state = NULL;
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	cleanup_free char *path = NULL;
	struct met met = { .state = MET_NOTHING };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (argc - first > 1)
		return options_wrong_usage(command, "one directory at a time");
	status = behalf_become(o.user);
	if (status != 0)
		return status;
	int r = environment_path(first < argc ? argv[first] : NULL, &path, &err);
	if (r < 0)
		return say_error(&err, r);
	if (state_open(path, false, &state, NULL) == 0 &&
	    plan_read(state_fd(state), &plan) == 0 && plan_is_of_this_boot(&plan))
		meet(state, &plan, &met);
	bool serving = met.state == MET_SERVING;
	const char *text = met_text(&met);
	met_release(&met);
	if (met.state == MET_NOTHING)
		return meet_say_none(path);
	if (!serving)
		return say_failed("cannot refresh '%s': it is %s", path, text);
	r = refresh(path, state, &plan, &err);
	return r < 0 ? say_error(&err, r) : 0;
}

const struct command command_refresh = {
	"refresh",
	"[DIR]",
	"have the kernel forget what it remembers of a mount",
	"The kernel drops names, attributes, listings and contents that it remembers of the\n"
	"mount at DIR, which gives their memory back; what is used next is asked for\n"
	"anew. Nothing in the mount notices.",
	refresh_options,
	run_refresh,
	NULL
};
