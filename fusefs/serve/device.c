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

/* What helps where there is no FUSE to be had. */
#define WITHOUT_FUSE "; or write a plain environment: venvfs export"

/* -o words that change nothing, as every mount is so. */
static const char *const implied[] = { "default_permissions", "defaults", "_netdev",
				       "user" };

/*
 * Words that become flags of mount(2), the later of two that contradict each other
 * winning. fusermount3 does not know all of them; what it does not know is either the
 * kernel's default or about atime, which FUSE never updates.
 */
static const struct flag_word {
	const char *text;
	unsigned long set, clear;
	bool helper; /* fusermount3 knows it */
	bool root;   /* only root may give it */
} flag_words[] = {
	{ "nosuid", MS_NOSUID, 0, true, false },
	{ "suid", 0, MS_NOSUID, false, true },
	{ "nodev", MS_NODEV, 0, true, false },
	{ "dev", 0, MS_NODEV, false, true },
	{ "noexec", MS_NOEXEC, 0, true, false },
	{ "exec", 0, MS_NOEXEC, true, false },
	{ "noatime", MS_NOATIME, MS_RELATIME | MS_STRICTATIME, true, false },
	{ "atime", 0, MS_NOATIME, true, false },
	{ "nodiratime", MS_NODIRATIME, 0, false, false },
	{ "diratime", 0, MS_NODIRATIME, false, false },
	{ "relatime", MS_RELATIME, MS_NOATIME | MS_STRICTATIME, false, false },
	{ "strictatime", MS_STRICTATIME, MS_NOATIME | MS_RELATIME, false, false },
	{ "sync", MS_SYNCHRONOUS, 0, true, false },
	{ "async", 0, MS_SYNCHRONOUS, true, false },
	{ "dirsync", MS_DIRSYNC, 0, true, false },
};

/* The next of words with commas between them; NULL at the end. */
static const char *next_word(const char **rest, size_t *ret_size)
{
	while (**rest == ',')
		(*rest)++;
	const char *word = *rest;
	*ret_size = strcspn(word, ",");
	*rest += *ret_size;
	return *ret_size ? word : NULL;
}

static bool is_word(const char *word, size_t size, const char *text)
{
	return strlen(text) == size && memcmp(text, word, size) == 0;
}

static const struct flag_word *find_flag(const char *word, size_t size)
{
	for (size_t i = 0; i < sizeof(flag_words) / sizeof(*flag_words); i++) {
		if (is_word(word, size, flag_words[i].text))
			return &flag_words[i];
	}
	return NULL;
}

static bool is_implied(const char *word, size_t size)
{
	for (size_t i = 0; i < sizeof(implied) / sizeof(*implied); i++) {
		if (is_word(word, size, implied[i]))
			return true;
	}
	return false;
}

/* Root in its own right, and not somebody who became root for a command. */
static bool is_real_root(void)
{
	const char *uid = getenv("SUDO_UID");
	return geteuid() == 0 && (!uid || strcmp(uid, "0") == 0);
}

static int append_word(struct buffer *options, const char *word, size_t size)
{
	int r = options->size ? buffer_append(options, ",", 1) : 0;
	return r < 0 ? r : buffer_append(options, word, size);
}

static int take_flag(const char *word, size_t size, struct buffer *options,
		     struct error *reterr)
{
	const struct flag_word *flag = find_flag(word, size);
	if (!flag && !is_word(word, size, "allow_other"))
		return error_set(reterr, -EINVAL,
				 "-o %.*s: there is no such mount option", (int)size,
				 word);
	if (flag && flag->root && !is_real_root())
		return error_set(reterr, -EPERM,
				 "-o %s: only root itself may mount so, not by sudo",
				 flag->text);
	return append_word(options, word, size);
}

static int take_word(const char *word, size_t size, struct device_words *words,
		     struct buffer *options, struct error *reterr)
{
	static const char fsname[] = "fsname=";
	size_t prefix = strlen(fsname);
	if (is_word(word, size, "ro") || is_word(word, size, "rw")) {
		words->read_only = word[1] == 'o';
		return 0;
	}
	if (size > prefix && memcmp(word, fsname, prefix) == 0) {
		free(words->source);
		words->source = strndup(word + prefix, size - prefix);
		return words->source ? 0 : -ENOMEM;
	}
	return is_implied(word, size) ? 0 : take_flag(word, size, options, reterr);
}

void device_words_release(struct device_words *words)
{
	free(words->options);
	free(words->source);
	*words = (struct device_words){ .options = NULL };
}

int device_check_options(const char *wanted, struct device_words *ret,
			 struct error *reterr)
{
	CLEANUP(device_words_release) struct device_words words = { .options = NULL };
	cleanup_buffer struct buffer options = BUFFER_INIT;
	const char *word;
	size_t size;
	int r = 0;
	while (r == 0 && (word = next_word(&wanted, &size)) != NULL)
		r = take_word(word, size, &words, &options, reterr);
	if (r < 0)
		return r;
	if (!buffer_cstr(&options))
		return -ENOMEM;
	words.options = buffer_steal(&options);
	*ret = words;
	words = (struct device_words){ .options = NULL };
	return 0;
}

/* Generic options are flags of mount(2); FUSE's own stand in its text. */
static unsigned long mount_flags(const struct device_options *o, bool *ret_allow_other)
{
	unsigned long result = MS_NOSUID | MS_NODEV | (o->read_only ? MS_RDONLY : 0);
	const char *rest = o->options;
	const char *word;
	size_t size;
	*ret_allow_other = false;
	while ((word = next_word(&rest, &size)) != NULL) {
		const struct flag_word *flag = find_flag(word, size);
		if (flag)
			result = (result & ~flag->clear) | flag->set;
		else
			*ret_allow_other = true; /* there is no other */
	}
	return result;
}

static int mount_as_root(const char *path, int dirfd, const struct device_options *o,
			 struct error *reterr)
{
	char data[160];
	char target[32];
	bool allow_other;
	unsigned long flags = mount_flags(o, &allow_other);
	cleanup_fd int fd = file_open(AT_FDCWD, "/dev/fuse", O_RDWR, 0);
	if (fd < 0)
		return error_set(reterr, fd, "cannot open /dev/fuse: %s%s" WITHOUT_FUSE,
				 strerror(-fd),
				 fd == -ENOENT ? "; in a container it must be passed in "
						 "(--device /dev/fuse)"
					       : "");
	(void)snprintf(
	    data, sizeof(data),
	    "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions%s", fd,
	    geteuid(), getegid(), allow_other ? ",allow_other" : "");
	(void)snprintf(target, sizeof(target), "/proc/self/fd/%d", dirfd);
	if (mount(o->source, target, FS_TYPE, flags, data) < 0)
		return error_set(reterr, -errno, "cannot mount at '%s': %s%s%s", path,
				 strerror(errno),
				 errno == EPERM ? "; mounting needs CAP_SYS_ADMIN (in a "
						  "container: --cap-add SYS_ADMIN)"
						: "",
				 errno == EPERM || errno == ENODEV ? WITHOUT_FUSE : "");
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
				 "fusermount3 is not in PATH: install the package "
				 "fuse3" WITHOUT_FUSE);
	if (status < 0)
		return error_errno(reterr, status, "cannot run fusermount3");
	if (status == 0)
		return 0;
	const char *line = last_line(&said, "fusermount3");
	int code = strstr(line, "busy") ? -EBUSY : -EPERM;
	bool none = keep_fd > 0 &&
		    (strstr(line, "device not found") || strstr(line, "/dev/fuse"));
	return error_set(reterr, code, "fusermount3 on '%s': %s%s", path, line,
			 none ? WITHOUT_FUSE : "");
}

/* What fusermount3 is told: its own words, ours, and those of the user that it knows. */
static int helper_options(const struct device_options *o, struct buffer *options)
{
	const char *rest = o->options;
	const char *word;
	size_t size;
	int r = buffer_printf(
	    options, "%s,nosuid,nodev,default_permissions,subtype=venvfs,fsname=%s",
	    o->read_only ? "ro" : "rw", o->source);
	while (r == 0 && (word = next_word(&rest, &size)) != NULL) {
		const struct flag_word *flag = find_flag(word, size);
		if (!flag || flag->helper)
			r = append_word(options, word, size);
	}
	return r;
}

static int mount_as_user(const char *path, const struct device_options *o,
			 struct error *reterr)
{
	int pair[2];
	cleanup_buffer struct buffer options = BUFFER_INIT;
	int r = helper_options(o, &options);
	const char *text = r == 0 ? buffer_cstr(&options) : NULL;
	if (!text)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	cleanup_fd int ours = pair[0];
	cleanup_fd int theirs = pair[1];
	const char *argv[] = { "fusermount3", "-o", text, "--", path, NULL };
	r = run_fusermount(argv, theirs, path, reterr);
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
