/*
 * What pip is set to: pip.conf of the machine, the user and the virtual environment, and
 * PIP_* of the environment, in pip's order. Any thread while nobody changes the
 * environment.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/error.h"

enum pip_key {
	PIP_INDEX_URL,
	PIP_EXTRA_INDEX_URL,
	PIP_FIND_LINKS,
	PIP_NO_INDEX,
	PIP_TRUSTED_HOST,
	PIP_CERT,
	PIP_CLIENT_CERT,
	PIP_PROXY,
	PIP_TIMEOUT,
	PIP_RETRIES,
	PIP_CACHE_DIR,
	PIP_NO_CACHE_DIR,
	PIP_KEYS,
};

struct pip_settings {
	char *values[PIP_KEYS]; /* NULL: not said; lists are separated by white space */
};

/* -EBADMSG: a pip.conf that is none; the text names it. Missing and unreadable ones are
 * passed over, as pip does. */
int pip_settings_read(struct pip_settings *ret, struct error *reterr);
void pip_settings_release(struct pip_settings *settings);
/* Is the switch on? */
bool pip_settings_is_on(const struct pip_settings *settings, enum pip_key key);
