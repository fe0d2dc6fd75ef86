#include "cache/source/pip_settings.h"

#include "cache/base/file.h"
#include "cache/source/ini.h"
#include "cache/source/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_FILE = 1 << 20 };

static const char *const names[PIP_KEYS] = {
	[PIP_INDEX_URL] = "index-url",       [PIP_EXTRA_INDEX_URL] = "extra-index-url",
	[PIP_FIND_LINKS] = "find-links",     [PIP_NO_INDEX] = "no-index",
	[PIP_TRUSTED_HOST] = "trusted-host", [PIP_CERT] = "cert",
	[PIP_CLIENT_CERT] = "client-cert",   [PIP_PROXY] = "proxy",
	[PIP_TIMEOUT] = "timeout",           [PIP_RETRIES] = "retries",
	[PIP_CACHE_DIR] = "cache-dir",       [PIP_NO_CACHE_DIR] = "no-cache-dir",
};

static int set(struct pip_settings *s, enum pip_key key, const char *value)
{
	char *copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(s->values[key]);
	s->values[key] = copy;
	return 0;
}

/* pip takes both names of this option. */
static const char *plain_key(const char *key)
{
	key += strspn(key, "-");
	return strcmp(key, "default-timeout") == 0 ? "timeout" : key;
}

static int set_named(struct pip_settings *s, const char *key, const char *value)
{
	for (int i = 0; i < PIP_KEYS; i++) {
		if (strcmp(names[i], plain_key(key)) == 0)
			return set(s, (enum pip_key)i, value);
	}
	return 0;
}

/* What [install] says stands over what [global] says, wherever it stands. */
struct file {
	struct pip_settings *settings;
	const char *section; /* that is taken now */
};

static int visit(void *context, const char *section, const char *key, const char *value)
{
	const struct file *f = context;
	return strcmp(section, f->section) == 0 ? set_named(f->settings, key, value) : 0;
}

static int read_file(struct pip_settings *s, const char *path, struct error *reterr)
{
	static const char *const sections[] = { "global", "install" };
	cleanup_buffer struct buffer text = BUFFER_INIT;
	if (file_read_at(AT_FDCWD, path, LARGEST_FILE, &text) < 0)
		return 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(sections) / sizeof(*sections); i++) {
		struct file f = { s, sections[i] };
		r = ini_parse((const char *)text.data, text.size, visit, &f, reterr);
	}
	return r == -EBADMSG ? error_prefix(reterr, r, "pip's configuration '%s'", path)
			     : r;
}

static int read_below(struct pip_settings *s, const char *folder, const char *name,
		      struct error *reterr)
{
	if (!folder || !*folder)
		return 0;
	cleanup_free char *path = path_join(folder, name);
	return path ? read_file(s, path, reterr) : -ENOMEM;
}

static int read_machine_files(struct pip_settings *s, struct error *reterr)
{
	const char *list = getenv("XDG_CONFIG_DIRS");
	cleanup_free char *copy = strdup(list && *list ? list : "/etc/xdg");
	char *rest = copy;
	const char *folder;
	int r = copy ? 0 : -ENOMEM;
	while (r == 0 && rest && (folder = strsep(&rest, ":")) != NULL)
		r = read_below(s, folder, "pip/pip.conf", reterr);
	return r < 0 ? r : read_file(s, "/etc/pip.conf", reterr);
}

static int read_user_files(struct pip_settings *s, struct error *reterr)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	int r = read_below(s, home, ".pip/pip.conf", reterr);
	if (r < 0)
		return r;
	return xdg && *xdg ? read_below(s, xdg, "pip/pip.conf", reterr)
			   : read_below(s, home, ".config/pip/pip.conf", reterr);
}

static int read_environment(struct pip_settings *s)
{
	int r = 0;
	for (int i = 0; r == 0 && i < PIP_KEYS; i++) {
		char variable[40] = "PIP_";
		for (size_t k = 0; k <= strlen(names[i]); k++)
			variable[4 + k] =
			    names[i][k] == '-' ? '_' : char_upper(names[i][k]);
		const char *value = getenv(variable);
		if (i == PIP_TIMEOUT && !value)
			value = getenv("PIP_DEFAULT_TIMEOUT");
		if (value && *value)
			r = set(s, (enum pip_key)i, value);
	}
	return r;
}

int pip_settings_read(struct pip_settings *ret, struct error *reterr)
{
	CLEANUP(pip_settings_release) struct pip_settings s = { .values = { NULL } };
	const char *named = getenv("PIP_CONFIG_FILE");
	bool none = named && strcmp(named, "/dev/null") == 0;
	cleanup_fd int fd =
	    named && *named ? file_open(AT_FDCWD, named, O_RDONLY, 0) : -1;
	int r = 0;
	if (!none)
		r = read_machine_files(&s, reterr);
	if (r == 0 && fd < 0)
		r = read_user_files(&s, reterr);
	if (r == 0 && !none)
		r = read_below(&s, getenv("VIRTUAL_ENV"), "pip.conf", reterr);
	if (r == 0 && fd >= 0)
		r = read_file(&s, named, reterr);
	if (r == 0)
		r = read_environment(&s);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct pip_settings){ .values = { NULL } };
	return 0;
}

void pip_settings_release(struct pip_settings *s)
{
	for (int i = 0; i < PIP_KEYS; i++) {
		free(s->values[i]);
		s->values[i] = NULL;
	}
}

bool pip_settings_is_on(const struct pip_settings *s, enum pip_key key)
{
	return s->values[key] && word_is_on(s->values[key]);
}
