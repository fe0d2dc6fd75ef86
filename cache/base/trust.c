#include "cache/base/trust.h"

#include "cache/base/bytes.h"
#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static bool is_one_of(uid_t uid, const uid_t *owners, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (owners[i] == uid)
			return true;
	}
	return false;
}

/*
 * Debian's user private groups: a group of the user's own name, primary group of the user
 * and with nobody else in it. Its write permission is the user's own.
 */
static bool is_private_group(gid_t gid, uid_t uid)
{
	char user_bytes[4096];
	char group_bytes[4096];
	struct passwd user;
	struct passwd *has_user = NULL;
	struct group group;
	struct group *has_group = NULL;
	if (getpwuid_r(uid, &user, user_bytes, sizeof(user_bytes), &has_user) != 0 ||
	    !has_user || user.pw_gid != gid)
		return false;
	if (getgrgid_r(gid, &group, group_bytes, sizeof(group_bytes), &has_group) != 0 ||
	    !has_group || strcmp(group.gr_name, user.pw_name) != 0)
		return false;
	for (char **member = group.gr_mem; *member; member++) {
		if (strcmp(*member, user.pw_name) != 0)
			return false;
	}
	return true;
}

/* Then the group's bits are what any user and group that it names may have at most. */
static bool has_acl(const char *path)
{
	return lgetxattr(path, "system.posix_acl_access", NULL, 0) >= 0;
}

static bool others_can_write(const char *path, const struct stat *st, bool last)
{
	if (st->st_mode & S_ISVTX && !last)
		return false;
	if (st->st_mode & S_IWOTH)
		return true;
	return (st->st_mode & S_IWGRP) &&
	       ((st->st_gid != 0 && !is_private_group(st->st_gid, st->st_uid)) ||
		has_acl(path));
}

/*
 * In a user namespace root of the host has no number, and what is its shows as the
 * overflow uid's; so does what belongs to any other user of the host. That one of these
 * owns a directory above one's own cache cannot be told from "/" and "/home"; it is taken
 * for root, as whatever runs in the namespace takes it.
 */
static bool is_root_outside(uid_t uid)
{
	cleanup_buffer struct buffer overflow = BUFFER_INIT;
	cleanup_buffer struct buffer map = BUFFER_INIT;
	enum { LARGEST = 16 << 10 };
	if (file_read_at(AT_FDCWD, "/proc/sys/kernel/overflowuid", LARGEST, &overflow) <
		0 ||
	    file_read_at(AT_FDCWD, "/proc/self/uid_map", LARGEST, &map) < 0 ||
	    !buffer_cstr(&overflow) || !buffer_cstr(&map))
		return false;
	/* The host's own namespace has one line, with every uid: "0 0 4294967295". */
	unsigned long numbers[3];
	char *rest = (char *)map.data;
	for (int i = 0; i < 3; i++)
		numbers[i] = strtoul(rest, &rest, 10);
	bool is_host = numbers[0] == 0 && numbers[1] == 0 && numbers[2] == UINT32_MAX;
	return !is_host && uid == strtoul(buffer_cstr(&overflow), NULL, 10);
}

static bool may_own(const struct stat *st, bool last, const uid_t *owners, size_t count)
{
	if (is_one_of(st->st_uid, owners, count))
		return true;
	return !last && (st->st_uid == 0 || is_root_outside(st->st_uid));
}

struct trusted {
	const uid_t *owners;
	size_t count;
	const char *variable;
};

static int check_one(const char *path, bool last, const struct trusted *by,
		     struct error *reterr)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return error_errno(reterr, -errno, "cannot look at '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(reterr, -ENOTDIR, "'%s' is no directory", path);
	if (!may_own(&st, last, by->owners, by->count))
		return error_set(reterr, -EACCES,
				 "'%s' belongs to uid %u, who could replace what lies "
				 "in it; use a directory of your own (%s)",
				 path, (unsigned)st.st_uid, by->variable);
	if (others_can_write(path, &st, last))
		return error_set(reterr, -EACCES,
				 "'%s' is writable by others, who could replace what "
				 "lies in it; take that away with: chmod go-w '%s'",
				 path, path);
	return 0;
}

enum reach {
	WHOLE,  /* all of it must be there, and the last is what is trusted */
	SO_FAR, /* what is there of it */
	ABOVE,  /* something else lies in it that is trusted */
};

static int check_all(const char *path, enum reach reach, const struct trusted *by,
		     struct error *reterr)
{
	struct stat st;
	cleanup_free char *part = strdup(path);
	if (!part)
		return -ENOMEM;
	for (char *p = part + 1;; p++) {
		char kept = *p;
		if (kept != '/' && kept != '\0')
			continue;
		*p = '\0';
		if (reach == SO_FAR && lstat(part, &st) < 0 && errno == ENOENT)
			return 0;
		int r = check_one(part, kept == '\0' && reach != ABOVE, by, reterr);
		if (r < 0 || kept == '\0')
			return r;
		*p = kept;
	}
}

int trust_check_path(const char *path, const uid_t *owners, size_t count,
		     const char *variable, struct error *reterr)
{
	const struct trusted by = { owners, count, variable };
	return check_all(path, WHOLE, &by, reterr);
}

/* Who owns a link, or could put another in its place, has it lead where they like. */
static int check_link(const char *path, const struct stat *st, const struct trusted *by,
		      struct error *reterr)
{
	cleanup_free char *parent = NULL;
	cleanup_free char *above = strndup(path, (size_t)(strrchr(path, '/') - path));
	if (!may_own(st, false, by->owners, by->count))
		return error_set(reterr, -EACCES,
				 "'%s' is a symlink of uid %u, who could have it lead "
				 "elsewhere; use a directory of your own (%s)",
				 path, (unsigned)st->st_uid, by->variable);
	int r = above ? path_canonical(*above ? above : "/", &parent, reterr) : -ENOMEM;
	return r < 0 ? r : check_all(parent, ABOVE, by, reterr);
}

/* `path` is absolute. */
static int check_links(const char *path, const struct trusted *by, struct error *reterr)
{
	cleanup_free char *part = strdup(path);
	struct stat st;
	if (!part)
		return -ENOMEM;
	for (char *p = part + 1;; p++) {
		char kept = *p;
		if (kept != '/' && kept != '\0')
			continue;
		*p = '\0';
		int r = lstat(part, &st) == 0 && S_ISLNK(st.st_mode)
			    ? check_link(part, &st, by, reterr)
			    : 0;
		if (r < 0 || kept == '\0')
			return r;
		*p = kept;
	}
}

static int cannot_make(const char *path, int r, const char *variable,
		       struct error *reterr)
{
	return error_set(reterr, r,
			 "cannot make the directory '%s' (%s); name another in %s", path,
			 strerror(-r), variable);
}

int trust_make_path(const char *path, const char *variable, char **ret_path,
		    struct error *reterr)
{
	const uid_t own = geteuid();
	const struct trusted by = { &own, 1, variable };
	cleanup_free char *canonical = NULL;
	int r = *path == '/' ? check_links(path, &by, reterr) : 0;
	if (r < 0)
		return r;
	r = path_canonical(path, &canonical, NULL);
	if (r < 0)
		return cannot_make(path, r, variable, reterr);
	r = check_all(canonical, SO_FAR, &by, reterr);
	if (r < 0)
		return r;
	r = file_make_dirs(canonical, 0700);
	if (r < 0)
		return cannot_make(path, r, variable, reterr);
	r = check_all(canonical, WHOLE, &by, reterr);
	if (r == 0)
		*ret_path = steal_ptr(canonical);
	return r;
}
