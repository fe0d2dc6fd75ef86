#include "cli/behalf.h"

#include "cli/output.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int behalf_find(const char *user, struct account **ret, struct error *reterr)
{
	CLEANUP(account_freep) struct account *account = NULL;
	const char *name = user ? user : getenv("SUDO_UID");
	*ret = NULL;
	if (!name || (!user && geteuid() != 0))
		return 0;
	int r = account_find(name, &account, reterr);
	if (r < 0)
		return user
			   ? r
			   : error_prefix(reterr, r, "sudo's SUDO_UID (--user says who)");
	if (account->uid != geteuid() && geteuid() != 0)
		return error_set(reterr, -EPERM,
				 "--user %s: only root may act for another user", name);
	if (account->uid != geteuid())
		*ret = steal_ptr(account);
	return 0;
}

void behalf_name(uid_t uid, char ret_name[64])
{
	const struct passwd *user = getpwuid(uid);
	if (user)
		(void)snprintf(ret_name, 64, "%s", user->pw_name);
	else
		(void)snprintf(ret_name, 64, "uid %u", (unsigned)uid);
}

int behalf_become(const char *user)
{
	struct error err = ERROR_INIT;
	CLEANUP(account_freep) struct account *account = NULL;
	int r = behalf_find(user, &account, &err);
	if (r == 0 && account)
		r = account_become(account, &err);
	return r < 0 ? say_error(&err, r) : 0;
}
