#include "fusefs/serve/device.h"

#include "cache/base/file.h"
#include "cache/base/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELPER_SECONDS = 30, LARGEST_ANSWER = 64 << 10 };

#define FS_TYPE "fuse.venvfs"

/* -o words that change nothing, as every mount is so. */
static const char *const implied[] = {
	"ro", "nosuid", "nodev", "default_permissions", "defaults", "_netdev", "user"
};
/* Those that are passed on. */
static const char *const passed[] = { "allow_other", "noexec",     "exec",  "noatime",
				      "atime",       "nodiratime", "async", "sync" };

static bool is_among(const char *word, size_t size, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(list[i]) == size && memcmp(list[i], word, size) == 0)
			return true;
	}
	return false;
}

static int refuse(const char *word, size_t size, struct error *reterr)
{
	if (size == 2 && memcmp(word, "rw", 2) == 0)
		return error_set(reterr, -EINVAL,
				 "-o rw: mounts are read-only in this version");
	return error_set(reterr, -EINVAL, "-o %.*s: there is no such mount option",
			 (int)size, word);
}

static int take_word(const char *word, size_t size, struct buffer *options, char **source,
		     struct error *reterr)
{
	static const char fsname[] = "fsname=";
	size_t prefix = strlen(fsname);
	if (size == 0 ||
	    is_among(word, size, implied, sizeof(implied) / sizeof(*implied)))
		return 0;
	if (size > prefix && memcmp(word, fsname, prefix) == 0) {
		free(*source);
		*source = strndup(word + prefix, size - prefix);
		return *source ? 0 : -ENOMEM;
	}
	if (!is_among(word, size, passed, sizeof(passed) / sizeof(*passed)))
		return refuse(word, size, reterr);
	int r = options->size ? buffer_append(options, ",", 1) : 0;
	return r < 0 ? r : buffer_append(options, word, size);
}

int device_check_options(const char *wanted, char **ret_options, char **ret_source,
			 struct error *reterr)
{
	cleanup_buffer struct buffer options = BUFFER_INIT;
	cleanup_free char *source = NULL;
	int r = 0;
	while (r == 0 && *wanted) {
		size_t size = strcspn(wanted, ",");
		r = take_word(wanted, size, &options, &source, reterr);
		wanted += size + (wanted[size] == ',');
	}
	if (r < 0)
		return r;
	if (!buffer_cstr(&options))
		return -ENOMEM;
	*ret_options = buffer_steal(&options);
	*ret_source = steal_ptr(source);
	return 0;
}

/* Generic options are flags of mount(2); FUSE's own stand in its text. */
static unsigned long mount_flags(const char *options, bool *ret_allow_other)
{
	static const struct {
		const char *word;
		unsigned long flag;
	} flags[] = { { "noexec", MS_NOEXEC },
		      { "noatime", MS_NOATIME },
		      { "nodiratime", MS_NODIRATIME },
		      { "sync", MS_SYNCHRONOUS } };
	unsigned long result = MS_NOSUID | MS_NODEV | MS_RDONLY;
	*ret_allow_other = false;
	while (*options) {
		size_t size = strcspn(options, ",");
		for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
			if (strlen(flags[i].word) == size &&
			    memcmp(flags[i].word, options, size) == 0)
				result |= flags[i].flag;
		}
		*ret_allow_other |= size == strlen("allow_other") &&
				    memcmp(options, "allow_other", size) == 0;
		options += size + (options[size] == ',');
	}
	return result;
}

static int mount_as_root(const char *path, int dirfd, const struct device_options *o,
			 struct error *reterr)
{
	char data[160];
	char target[32];
	bool allow_other;
	unsigned long flags = mount_flags(o->options, &allow_other);
	cleanup_fd int fd = file_open(AT_FDCWD, "/dev/fuse", O_RDWR, 0);
	if (fd < 0)
		return error_errno(reterr, fd, "cannot open /dev/fuse%s",
				   fd == -ENOENT ? " (in a container it must be passed "
						   "in: --device /dev/fuse)"
						 : "");
	(void)snprintf(
	    data, sizeof(data),
	    "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions%s", fd,
	    geteuid(), getegid(), allow_other ? ",allow_other" : "");
	(void)snprintf(target, sizeof(target), "/proc/self/fd/%d", dirfd);
	if (mount(o->source, target, FS_TYPE, flags, data) < 0)
		return error_errno(reterr, -errno, "cannot mount at '%s'%s", path,
				   errno == EPERM
				       ? " (mounting needs CAP_SYS_ADMIN; in a "
					 "container: --cap-add SYS_ADMIN)"
				       : "");
	return steal_fd(&fd);
}

/* The descriptor comes over the socket that _FUSE_COMMFD names. */
static int receive_fd(int socket)
{
	char byte;
	struct iovec io = { &byte, 1 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = { .msg_iov = &io,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0)
		return -EIO;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int fd;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -EIO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* The last line that a helper wrote, without its own name before it. */
static const char *last_line(struct buffer *text, const char *helper)
{
	char *line = (char *)(uintptr_t)buffer_cstr(text);
	size_t size = text->size;
	if (!line)
		return "";
	while (size > 0 && line[size - 1] == '\n')
		line[--size] = '\0';
	char *start = strrchr(line, '\n');
	start = start ? start + 1 : line;
	size_t prefix = strlen(helper);
	if (strncmp(start, helper, prefix) == 0 && start[prefix] == ':')
		start += prefix + 1 + (start[prefix + 1] == ' ');
	return start;
}

static int run_fusermount(const char *const argv[], int keep_fd, const char *path,
			  struct error *reterr)
{
	cleanup_buffer struct buffer said = BUFFER_INIT;
	char variable[32];
	(void)snprintf(variable, sizeof(variable), "_FUSE_COMMFD=%d", keep_fd);
	const struct run run = { .argv = argv,
				 .seconds = HELPER_SECONDS,
				 .limit = LARGEST_ANSWER,
				 .errors = true,
				 .passed_fd = keep_fd > 0 ? keep_fd : 0,
				 .variable = keep_fd > 0 ? variable : NULL };
	int status = run_program(&run, &said);
	if (status == -ENOENT)
		return error_set(reterr, status,
				 "fusermount3 is not in PATH: install the package fuse3");
	if (status < 0)
		return error_errno(reterr, status, "cannot run fusermount3");
	if (status == 0)
		return 0;
	const char *line = last_line(&said, "fusermount3");
	int code = strstr(line, "busy") ? -EBUSY : -EPERM;
	return error_set(reterr, code, "fusermount3 on '%s': %s", path, line);
}

static int mount_as_user(const char *path, const struct device_options *o,
			 struct error *reterr)
{
	int pair[2];
	char *options = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	cleanup_fd int ours = pair[0];
	cleanup_fd int theirs = pair[1];
	if (asprintf(&options,
		     "ro,nosuid,nodev,default_permissions,subtype=venvfs,fsname=%s%s%s",
		     o->source, *o->options ? "," : "", o->options) < 0)
		return -ENOMEM;
	cleanup_free char *held = options;
	const char *argv[] = { "fusermount3", "-o", options, "--", path, NULL };
	int r = run_fusermount(argv, theirs, path, reterr);
	if (r < 0)
		return r;
	int fd = receive_fd(ours);
	return fd < 0 ? error_set(reterr, fd, "fusermount3 passed no descriptor for '%s'",
				  path)
		      : fd;
}

int device_mount(const char *path, int dirfd, const struct device_options *options,
		 struct error *reterr)
{
	return geteuid() == 0 ? mount_as_root(path, dirfd, options, reterr)
			      : mount_as_user(path, options, reterr);
}

int device_unmount(const char *path, bool lazy, struct error *reterr)
{
	if (geteuid() == 0) {
		if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
			return 0;
		return error_errno(reterr, -errno, "cannot unmount '%s'", path);
	}
	const char *argv[] = { "fusermount3", lazy ? "-uz" : "-u", "--", path, NULL };
	return run_fusermount(argv, -1, path, reterr);
}

/* mountinfo writes space, tab, newline and backslash as \ooo. Works in place. */
static void unescape(char *text)
{
	char *out = text;
	for (const char *in = text; *in; in++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] && in[3]) {
			*out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 +
					(in[3] - '0'));
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

/* "36 35 98:0 /root /mount/point opts shared:1 - type source options" */
static bool parse_line(char *line, char **ret_point, char **ret_type)
{
	char *rest = line;
	*ret_point = NULL;
	for (int field = 0; field <= 4; field++)
		*ret_point = strsep(&rest, " ");
	char *dash = rest ? strstr(rest, " - ") : NULL;
	if (!*ret_point || !dash)
		return false;
	rest = dash + strlen(" - ");
	*ret_type = strsep(&rest, " ");
	unescape(*ret_point);
	return *ret_type != NULL;
}

enum mounted device_look(const char *path, char *ret_type)
{
	enum { TYPE_SIZE = 64 };
	enum mounted found = MOUNTED_NO;
	cleanup_file FILE *file = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL;
	size_t room = 0;
	/* The last one that is named is on top. */
	while (file && getline(&line, &room, file) > 0) {
		char *point;
		char *type;
		if (!parse_line(line, &point, &type) || strcmp(point, path) != 0)
			continue;
		found = strcmp(type, FS_TYPE) == 0 ? MOUNTED_VENVFS : MOUNTED_OTHER;
		(void)snprintf(ret_type, TYPE_SIZE, "%s", type);
	}
	return found;
}
