#include "fusefs/serve/account.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASSWD_BYTES = 64 << 10, GROUPS_MOST = 65536 };

static const char safe_path[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* Neither LD_*, PYTHON* nor anything else that makes a program do other things. */
static const char *const kept_variables[] = {
	"TERM=", "COLORTERM=", "NO_COLOR=", "LANG=", "LANGUAGE=", "LC_", "TZ=", "VENVFS_",
};

void account_free(struct account *account)
{
	if (!account)
		return;
	free(account->name);
	free(account->home);
	free(account->groups);
	free(account);
}

static int fill_groups(struct account *account)
{
	account->group_count = 32;
	for (;;) {
		int count = account->group_count;
		gid_t *groups =
		    reallocarray(account->groups, (size_t)count, sizeof(*groups));
		if (!groups)
			return -ENOMEM;
		account->groups = groups;
		if (getgrouplist(account->name, account->gid, groups, &count) >= 0) {
			account->group_count = count;
			return 0;
		}
		if (count <= account->group_count || count > GROUPS_MOST)
			return -E2BIG;
		account->group_count = count;
	}
}

static int fill(const struct passwd *user, struct account **ret)
{
	CLEANUP(account_freep) struct account *account = calloc(1, sizeof(*account));
	if (!account)
		return -ENOMEM;
	account->uid = user->pw_uid;
	account->gid = user->pw_gid;
	account->name = strdup(user->pw_name);
	account->home = strdup(user->pw_dir);
	int r = account->name && account->home ? fill_groups(account) : -ENOMEM;
	if (r == 0)
		*ret = steal_ptr(account);
	return r;
}

int account_find(const char *name, struct account **ret, struct error *reterr)
{
	struct passwd user;
	struct passwd *found = NULL;
	char *end;
	cleanup_free char *bytes = malloc(PASSWD_BYTES);
	if (!bytes)
		return -ENOMEM;
	int r = getpwnam_r(name, &user, bytes, PASSWD_BYTES, &found);
	unsigned long number = strtoul(name, &end, 10);
	bool is_number = *name >= '0' && *name <= '9' && !*end && number < (uid_t)-1;
	if (!found && is_number)
		r = getpwuid_r((uid_t)number, &user, bytes, PASSWD_BYTES, &found);
	if (!found)
		return error_set(reterr, r ? -r : -ENOENT, "there is no user '%s'%s%s",
				 name, r ? ": " : "", r ? strerror(r) : "");
	return fill(&user, ret);
}

static bool is_kept(const char *variable)
{
	for (size_t i = 0; i < sizeof(kept_variables) / sizeof(*kept_variables); i++) {
		if (strncmp(variable, kept_variables[i], strlen(kept_variables[i])) == 0)
			return true;
	}
	return false;
}

/* putenv() keeps what it is given, so these are never freed. */
static int keep_some(char **variables)
{
	for (char **v = variables; v && *v; v++) {
		if (!is_kept(*v))
			continue;
		char *copy = strdup(*v);
		if (!copy || putenv(copy) != 0)
			return -ENOMEM;
	}
	return 0;
}

static int make_environment(const struct account *account)
{
	char runtime[64];
	struct stat st;
	char **before = environ;
	environ = NULL;
	int r = keep_some(before);
	if (r < 0)
		return r;
	(void)snprintf(runtime, sizeof(runtime), "/run/user/%u", account->uid);
	bool has_runtime = lstat(runtime, &st) == 0 && st.st_uid == account->uid;
	if (setenv("HOME", account->home, 1) != 0 ||
	    setenv("USER", account->name, 1) != 0 ||
	    setenv("LOGNAME", account->name, 1) != 0 ||
	    setenv("PATH", safe_path, 1) != 0 ||
	    (has_runtime && setenv("XDG_RUNTIME_DIR", runtime, 1) != 0))
		return -ENOMEM;
	return 0;
}

static int drop(const struct account *account)
{
	if (setgroups((size_t)account->group_count, account->groups) < 0 ||
	    setresgid(account->gid, account->gid, account->gid) < 0 ||
	    setresuid(account->uid, account->uid, account->uid) < 0)
		return -errno;
	/* setresuid() has done so already, unless a securebit kept it from it. */
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	return account->uid != 0 && seteuid(0) == 0 ? -EPERM : 0;
}

int account_become(const struct account *account, struct error *reterr)
{
	int r = drop(account);
	if (r < 0)
		return error_errno(reterr, r, "cannot become the user '%s'",
				   account->name);
	return make_environment(account);
}

bool account_may_mount(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	return capng_get_caps_process() == 0 &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
}

int account_keep_only_mounting(void)
{
	/* SETPCAP: a worker narrows its bounding set. */
	static const unsigned kept[] = { CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH,
					 CAP_SETPCAP };
	enum { KEPT = sizeof(kept) / sizeof(*kept) };
	bool held[KEPT];
	int r = 0;
	if (!account_may_mount())
		return 0;
	for (int i = 0; i < KEPT; i++)
		held[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]) == 1;
	capng_clear(CAPNG_SELECT_CAPS);
	for (int i = 0; r == 0 && i < KEPT; i++) {
		if (held[i])
			r = capng_update(
			    CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
			    kept[i]);
	}
	if (r != 0 || capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int account_drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_get_caps_process() != 0)
		return -EPERM;
	bool may_bound = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_select_t set = may_bound ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS;
	capng_clear(set);
	return capng_apply(set) == 0 ? 0 : -EPERM;
}
