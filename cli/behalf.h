/* For whom a command runs when root calls it: root, the user of sudo, or --user's. */
#pragma once

#include "cli/options.h"
#include "fusefs/serve/account.h"

/* For a table of options whose struct has `const char *user`. */
#define BEHALF_OPTION(type)                                               \
	{                                                                 \
		"user", 0, OPTION_TEXT, offsetof(type, user), "NAME",     \
		    "for root: whose it is; under sudo else who calls it" \
	}

/* *ret NULL: for whom the process is already. */
int behalf_find(const char *user, struct account **ret, struct error *reterr);
/* A user's name, or "uid N". */
void behalf_name(uid_t uid, char ret_name[64]);
/* For commands that need nothing of root's: the process becomes the user for good. 0, or
 * an exit status after a line that says why not. */
int behalf_become(const char *user);
