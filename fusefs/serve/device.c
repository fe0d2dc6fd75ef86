#include "fusefs/serve/device.h"

#include "cache/base/file.h"
#include "cache/base/run.h"
#include "fusefs/serve/account.h"
#include "fusefs/serve/broker.h"
#include "fusefs/serve/mounts.h"
#include "fusefs/serve/refusals.h"
#include "fusefs/supervise/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { HELPER_SECONDS = 30, LARGEST_ANSWER = 64 << 10, READ_AHEAD_KIB = 1024 };

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

/* "text; what helps", from an error that is described already. */
static int error_remedy(int code, const char *remedy, struct error *reterr)
{
	struct error said = reterr ? *reterr : ERROR_INIT;
	return *remedy
		   ? error_set(reterr, code, "%s; %s", error_text(&said, code), remedy)
		   : code;
}

int device_open(struct error *reterr)
{
	int fd = file_open(AT_FDCWD, "/dev/fuse", O_RDWR, 0);
	return fd < 0 ? error_remedy(error_errno(reterr, fd, "cannot open /dev/fuse"),
				     refusal_of_device(-fd), reterr)
		      : fd;
}

static int mount_at(const char *path, int dirfd, int fd, const struct device_options *o,
		    uid_t uid, gid_t gid, struct error *reterr)
{
	char data[160];
	char target[32];
	bool allow_other;
	unsigned long flags = mount_flags(o, &allow_other);
	if (uid != geteuid())
		flags |= MS_NOSUID | MS_NODEV;
	(void)snprintf(
	    data, sizeof(data),
	    "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions%s", fd, uid,
	    gid, allow_other ? ",allow_other" : "");
	(void)snprintf(target, sizeof(target), "/proc/self/fd/%d", dirfd);
	if (mount(o->source, target, MOUNTS_TYPE, flags, data) < 0) {
		int error = errno;
		return error_remedy(
		    error_errno(reterr, -error, "cannot mount at '%s'", path),
		    refusal_of_mount(error), reterr);
	}
	return 0;
}

int device_mount_opened(const char *path, int dirfd, int fd,
			const struct device_options *o, struct error *reterr)
{
	return mount_at(path, dirfd, fd, o, geteuid(), getegid(), reterr);
}

int device_mount_for(const char *path, int dirfd, const struct device_options *o,
		     uid_t uid, gid_t gid, struct error *reterr)
{
	cleanup_fd int fd = device_open(reterr);
	int r = fd < 0 ? fd : mount_at(path, dirfd, fd, o, uid, gid, reterr);
	return r < 0 ? r : steal_fd(&fd);
}

/* The descriptor comes over the socket that _FUSE_COMMFD names. */
static int receive_fd(int socket)
{
	char byte;
	int fd;
	ssize_t n = descriptors_receive_one(socket, &byte, sizeof(byte), &fd);
	return n < 0 || fd < 0 ? -EIO : fd;
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

static int explain(const char *path, const char *line, struct error *reterr)
{
	struct statfs fs;
	struct refusal refusal = { .line = line };
	int code = strstr(line, "busy") ? -EBUSY : -EPERM;
	if (strstr(line, "is forbidden") && statfs(path, &fs) == 0)
		return error_set(
		    reterr, code,
		    "fusermount3 does not mount over '%s', which lies on %s; %s", path,
		    refusal_fs_name(fs.f_type), refusal_remedy(&refusal));
	refusal.under_apparmor = access("/etc/apparmor.d/fusermount3", F_OK) == 0 &&
				 access("/sys/kernel/security/apparmor", F_OK) == 0;
	return error_remedy(
	    error_set(reterr, code, "fusermount3 on '%s': %s", path, line),
	    refusal_remedy(&refusal), reterr);
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
				 "fusermount3 is not in PATH: install the package fuse3, "
				 "or use: sudo venvfs mount" REFUSAL_WITHOUT_FUSE);
	if (status < 0)
		return error_errno(reterr, status, "cannot run fusermount3");
	if (status == 0)
		return 0;
	return explain(path, last_line(&said, "fusermount3"), reterr);
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
	if (options->broker)
		return broker_mount(options->broker, path, dirfd, options->read_only,
				    reterr);
	return account_may_mount()
		   ? device_mount_for(path, dirfd, options, geteuid(), getegid(), reterr)
		   : mount_as_user(path, options, reterr);
}

struct wanted {
	int id;
	uid_t uid;
};

static int is_wanted(void *context, const struct mount_row *row)
{
	const struct wanted *w = context;
	if (row->id != w->id)
		return 0;
	return w->uid == DEVICE_ANY_USER ? strcmp(row->type, MOUNTS_TYPE) == 0
					 : mounts_is_of(row, w->uid);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

int device_open_parent(const char *path)
{
	cleanup_free char *parent = strndup(path, (size_t)(last_part(path) - path));
	return parent ? file_open_canonical(parent, O_PATH | O_DIRECTORY) : -ENOMEM;
}

int device_unmount_in(int parent, const char *path, bool lazy, uid_t uid,
		      struct error *reterr)
{
	char target[NAME_MAX + 64];
	const char *name = last_part(path);
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strlen(name) > NAME_MAX)
		return error_set(reterr, -EINVAL, "cannot unmount '%s'", path);
	cleanup_fd int root =
	    file_open(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (root < 0)
		return error_errno(reterr, root, "cannot unmount '%s'", path);
	struct wanted wanted = { .id = mounts_id_of(root), .uid = uid };
	if (mounts_each(is_wanted, &wanted) != 1)
		return error_set(reterr, -EPERM,
				 "'%s' is not a mount of this user; --user says whose it "
				 "is",
				 path);
	/*
	 * Held open it is busy, so that only the lazy way can name the mount itself. The
	 * other ends what is on top by then, and only if nobody uses it.
	 */
	if (lazy) {
		(void)snprintf(target, sizeof(target), "/proc/self/fd/%d", root);
	} else {
		cleanup_close_fn(&root);
		root = -1;
		(void)snprintf(target, sizeof(target), "/proc/self/fd/%d/%s", parent,
			       name);
	}
	if (umount2(target, lazy ? MNT_DETACH : UMOUNT_NOFOLLOW) == 0)
		return 0;
	return error_errno(reterr, -errno, "cannot unmount '%s'", path);
}

int device_unmount(const char *path, bool lazy, const struct broker *broker,
		   struct error *reterr)
{
	if (broker)
		return broker_unmount(broker, path, lazy, reterr);
	if (account_may_mount()) {
		cleanup_fd int parent = device_open_parent(path);
		return parent < 0
			   ? error_errno(reterr, parent, "cannot unmount '%s'", path)
			   : device_unmount_in(parent, path, lazy, DEVICE_ANY_USER,
					       reterr);
	}
	const char *argv[] = { "fusermount3", lazy ? "-uz" : "-u", "--", path, NULL };
	return run_fusermount(argv, -1, path, reterr);
}

struct looked {
	const char *path;
	enum mounted found;
	char type[64];
};

static int look_at(void *context, const struct mount_row *row)
{
	struct looked *l = context;
	if (strcmp(row->point, l->path) != 0)
		return 0;
	/* The last one that is named is on top. */
	l->found = strcmp(row->type, MOUNTS_TYPE) == 0 ? MOUNTED_VENVFS : MOUNTED_OTHER;
	(void)snprintf(l->type, sizeof(l->type), "%s", row->type);
	return 0;
}

enum mounted device_look(const char *path, char *ret_type)
{
	struct looked l = { .path = path, .found = MOUNTED_NO };
	(void)mounts_each(look_at, &l);
	memcpy(ret_type, l.type, sizeof(l.type));
	return l.found;
}

void device_read_ahead(dev_t device)
{
	char path[64];
	char text[16];
	(void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb",
		       major(device), minor(device));
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_WRONLY, 0);
	int size = snprintf(text, sizeof(text), "%d", READ_AHEAD_KIB);
	if (fd >= 0)
		(void)file_write_all(fd, text, (size_t)size);
}
