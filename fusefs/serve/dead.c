#include "fusefs/serve/dead.h"

#include "cache/base/file.h"
#include "fusefs/serve/account.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/mounts.h"
#include "fusefs/serve/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROBE_MILLISECONDS = 1000 };

static const char note_name[] = "device";

enum probed { PROBED_ALIVE, PROBED_DEAD, PROBED_STUCK };

void dead_note(const struct state *state, dev_t device)
{
	char text[32];
	int size = snprintf(text, sizeof(text), "%u:%u\n", major(device), minor(device));
	cleanup_fd int fd = file_open_beneath(state_fd(state), note_name,
					      O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd >= 0)
		(void)file_write_all(fd, text, (size_t)size);
}

void dead_forget(const struct state *state)
{
	(void)unlinkat(state_fd(state), note_name, 0);
}

static bool is_noted(const struct state *state, unsigned major_number,
		     unsigned minor_number)
{
	char text[32];
	cleanup_buffer struct buffer noted = BUFFER_INIT;
	int size = snprintf(text, sizeof(text), "%u:%u\n", major_number, minor_number);
	return file_read_at(state_fd(state), note_name, sizeof(text), &noted) == 0 &&
	       noted.size == (size_t)size && memcmp(noted.data, text, (size_t)size) == 0;
}

struct sought {
	const char *path;
	bool found, own;
	unsigned major, minor;
};

/* The last one that is named is on top. */
static int look_at(void *context, const struct mount_row *row)
{
	struct sought *s = context;
	if (strcmp(row->point, s->path) != 0)
		return 0;
	s->found = true;
	s->own = mounts_is_of(row, geteuid());
	s->major = row->major;
	s->minor = row->minor;
	return 0;
}

/*
 * Not stat(), which the kernel answers from what it remembers. What waits longer is asked
 * for by a process that can be ended.
 */
static enum probed probe(const char *path)
{
	enum { ANSWERED = 0, GONE = 1 };
	struct statfs fs;
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(statfs(path, &fs) < 0 &&
			      (errno == ENOTCONN || errno == ECONNABORTED)
			  ? GONE
			  : ANSWERED);
	if (pid < 0)
		return PROBED_ALIVE;
	cleanup_fd int ended = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd fds = { .fd = ended, .events = POLLIN };
	bool waits = ended < 0 || poll(&fds, 1, PROBE_MILLISECONDS) <= 0;
	if (waits)
		(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		return PROBED_ALIVE;
	if (waits)
		return PROBED_STUCK;
	return WIFEXITED(status) && WEXITSTATUS(status) == GONE ? PROBED_DEAD
								: PROBED_ALIVE;
}

/* By the user whom it serves, where fusectl is mounted; else by who may mount. */
static int end_connection(const struct sought *mount, struct error *reterr)
{
	char path[80];
	(void)snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/abort",
		       mount->minor);
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_WRONLY, 0);
	if (fd >= 0 && file_write_all(fd, "1", 1) == 0)
		return 0;
	if (account_may_mount()) {
		/* It aborts, and then cannot unmount what is in use. */
		(void)umount2(mount->path, MNT_FORCE | UMOUNT_NOFOLLOW);
		return 0;
	}
	return error_set(reterr, -EPERM,
			 "'%s' is dead, and a process that waits in the kernel keeps it; "
			 "only root can end that: sudo umount -f '%s'",
			 mount->path, mount->path);
}

int dead_remove(const struct state *state, const char *path, const struct broker *broker,
		struct error *reterr)
{
	struct sought mount = { .path = path };
	(void)mounts_each(look_at, &mount);
	if (!mount.found)
		return 0;
	enum probed probed = mount.own ? probe(path) : PROBED_ALIVE;
	/* One that is only slow, and not ours, must not be taken for dead. */
	if (probed == PROBED_ALIVE ||
	    (probed == PROBED_STUCK && !is_noted(state, mount.major, mount.minor)))
		return error_set(reterr, -EBUSY,
				 "'%s' is served, with its state elsewhere", path);
	int r = probed == PROBED_STUCK ? end_connection(&mount, reterr) : 0;
	if (r < 0)
		return r;
	char type[64];
	if (device_look(path, type) != MOUNTED_VENVFS)
		return 0;
	return device_unmount(path, true, broker, reterr);
}
