/*
 * Where interpreters are: uv's own, one folder each, whose names tell what they hold, and
 * the folders of PATH. Nothing is run here.
 */
#include "cache/env/discover_private.h"

#include "cache/base/bytes.h"
#include "cache/base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { NAMES_MOST = 16, NAME_SIZE = 96, FOLDERS_MOST = 4096 };

struct search {
	const struct python_request *request;
	place_visit *visit;
	void *context;
};

static bool is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static int visit_program(const struct search *s, enum place place, const char *folder,
			 const char *name)
{
	cleanup_free char *path = path_join(folder, name);
	if (!path)
		return -ENOMEM;
	return is_program(path) ? s->visit(s->context, place, path) : 0;
}

/* --- uv's own --- */

struct managed {
	char *folder; /* cpython-3.13.1-linux-x86_64-gnu */
	struct python_request key;
};

static void managed_release(struct managed *found, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(found[i].folder);
	free(found);
}

/* The best first: CPython, the newest, the plain build. */
static int compare_managed(const void *a, const void *b)
{
	const struct managed *x = a;
	const struct managed *y = b;
	int order = strcmp(x->key.implementation, y->key.implementation);
	for (int i = 0; order == 0 && i < 3; i++)
		order = y->key.numbers[i] - x->key.numbers[i];
	if (order == 0) /* a finished release before what led to it */
		order = !x->key.pre[0] != !y->key.pre[0] ? (x->key.pre[0] ? 1 : -1)
							 : strcmp(y->key.pre, x->key.pre);
	return order ? order : (int)x->key.threads - (int)y->key.threads;
}

static int managed_root(char **ret_path)
{
	const char *named = getenv("UV_PYTHON_INSTALL_DIR");
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	*ret_path = NULL;
	if (named && *named)
		*ret_path = strdup(named);
	else if (data && *data == '/')
		*ret_path = path_join(data, "uv/python");
	else if (home && *home == '/')
		*ret_path = path_join(home, ".local/share/uv/python");
	else
		return -ENOENT;
	return *ret_path ? 0 : -ENOMEM;
}

static bool is_for_this_machine(const struct python_request *key)
{
	struct utsname machine;
	return strcmp(key->os, "linux") == 0 && uname(&machine) == 0 &&
	       strncmp(key->arch, machine.machine, strlen(machine.machine)) == 0;
}

static bool is_wanted(const struct search *s, const struct managed *m)
{
	char version[64];
	const int *n = m->key.numbers;
	(void)snprintf(version, sizeof(version), "%d.%d.%d%s", n[0], n[1], n[2],
		       m->key.pre);
	return is_for_this_machine(&m->key) && m->key.count == 3 &&
	       request_fits_version(s->request, m->key.implementation, version) != 0;
}

static int add_managed(const struct search *s, int dir, const struct dirent *entry,
		       struct managed **found, size_t *count)
{
	struct stat st;
	struct managed m = { .key = request_parse(entry->d_name) };
	/* A symlink stands for the newest of its minor version. */
	if (entry->d_name[0] == '.' || m.key.kind != REQUEST_VERSION ||
	    *count >= FOLDERS_MOST || !is_wanted(s, &m) ||
	    fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISDIR(st.st_mode))
		return 0;
	struct managed *grown = reallocarray(*found, *count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	*found = grown;
	m.folder = strdup(entry->d_name);
	if (!m.folder)
		return -ENOMEM;
	m.key.text = NULL;
	grown[(*count)++] = m;
	return 0;
}

static void managed_program(const struct managed *m, char ret_name[NAME_SIZE])
{
	const struct python_request *k = &m->key;
	const char *suffix =
	    k->threads == THREADS_FREE ? (k->debug ? "td" : "t") : (k->debug ? "d" : "");
	if (strcmp(k->implementation, "graalpy") == 0)
		(void)snprintf(ret_name, NAME_SIZE, "bin/graalpy");
	else
		(void)snprintf(ret_name, NAME_SIZE, "bin/%s%d.%d%s",
			       strcmp(k->implementation, "pypy") == 0 ? "pypy" : "python",
			       k->numbers[0], k->numbers[1], suffix);
}

/*
 * Unless a patch version was asked for, by the link that uv keeps for the minor one: an
 * environment that leads there survives an upgrade.
 */
static char *managed_folder(const struct search *s, const char *root,
			    const struct managed *m)
{
	char minor[512];
	struct stat st;
	const char *rest = m->folder + strcspn(m->folder, "-") + 1; /* 3.13.1-linux-... */
	size_t version = strcspn(rest, ".") + 1;
	size_t kept = (size_t)(rest - m->folder) + version + strcspn(rest + version, ".");
	size_t patch = kept + 1 + strspn(m->folder + kept + 1, "0123456789abrc");
	(void)snprintf(minor, sizeof(minor), "%.*s%s", (int)kept, m->folder,
		       m->folder + patch);
	cleanup_free char *link = path_join(root, minor);
	bool exact = s->request->kind == REQUEST_VERSION && s->request->count == 3;
	if (link && !exact && lstat(link, &st) == 0 && S_ISLNK(st.st_mode) &&
	    stat(link, &st) == 0)
		return steal_ptr(link);
	return path_join(root, m->folder);
}

static int visit_managed(const struct search *s, const char *root,
			 const struct managed *found, size_t count)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		char name[NAME_SIZE];
		managed_program(&found[i], name);
		cleanup_free char *folder = managed_folder(s, root, &found[i]);
		r = folder ? visit_program(s, PLACE_UV, folder, name) : -ENOMEM;
	}
	return r;
}

static int search_managed(const struct search *s)
{
	cleanup_free char *root = NULL;
	struct managed *found = NULL;
	size_t count = 0;
	int r = managed_root(&root);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	cleanup_fd int fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	while (dir && r == 0 && (entry = readdir(dir)) != NULL)
		r = add_managed(s, fd, entry, &found, &count);
	if (count > 0)
		qsort(found, count, sizeof(*found), compare_managed);
	if (r == 0)
		r = visit_managed(s, root, found, count);
	managed_release(found, count);
	return r;
}

/* --- PATH --- */

struct names {
	char names[NAMES_MOST][NAME_SIZE];
	size_t count;
};

static void add_name(struct names *n, const char *prefix, const char *version,
		     const char *suffix)
{
	if (n->count < NAMES_MOST)
		(void)snprintf(n->names[n->count++], NAME_SIZE, "%s%s%s", prefix, version,
			       suffix);
}

/* From the most telling name to the least: pypy3.10, python3.10, python3, python. */
static void collect_names(const struct python_request *q, struct names *ret)
{
	char versions[4][16];
	size_t count = 0;
	const int *n = q->numbers;
	bool other = q->implementation[0] && strcmp(q->implementation, "cpython") != 0;
	const char *suffix =
	    q->threads == THREADS_FREE ? (q->debug ? "td" : "t") : (q->debug ? "d" : "");
	if (q->count == 3)
		(void)snprintf(versions[count++], 16, "%d.%d.%d", n[0], n[1], n[2]);
	if (q->count >= 2)
		(void)snprintf(versions[count++], 16, "%d.%d", n[0], n[1]);
	(void)snprintf(versions[count++], 16, "%d", q->count ? n[0] : 3);
	versions[count++][0] = '\0';
	ret->count = 0;
	for (int i = other ? 0 : 1; i < 2; i++) {
		const char *prefix = i == 0 ? q->implementation : "python";
		for (size_t v = 0; v < count; v++) {
			if (*suffix && versions[v][0])
				add_name(ret, prefix, versions[v], suffix);
			add_name(ret, prefix, versions[v], "");
		}
	}
}

/* The minor version of "python3.13" or "python3.13t"; -1: it is no such name. */
static int minor_of(const char *name)
{
	static const char prefix[] = "python3.";
	char *end;
	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0 ||
	    !isdigit((unsigned char)name[sizeof(prefix) - 1]))
		return -1;
	long minor = strtol(name + sizeof(prefix) - 1, &end, 10);
	if (*end == 't')
		end++;
	return *end == '\0' && minor < 100 ? (int)minor : -1;
}

static int compare_minors(const void *a, const void *b)
{
	const char *x = a;
	const char *y = b;
	int order = minor_of(y) - minor_of(x);
	return order ? order : strcmp(x, y);
}

/* `python` and `python3` may be 3.10, and what is asked for beside them as python3.12. */
static int visit_minors(const struct search *s, const char *folder)
{
	enum { MINORS_MOST = 64 };
	char found[MINORS_MOST][NAME_SIZE];
	size_t count = 0;
	const struct dirent *entry;
	cleanup_dir DIR *dir = opendir(folder);
	while (dir && count < MINORS_MOST && (entry = readdir(dir)) != NULL) {
		int minor = minor_of(entry->d_name);
		size_t size = strlen(entry->d_name) + 1;
		if (minor >= 0 && size <= NAME_SIZE &&
		    request_may_be_minor(s->request, minor))
			memcpy(found[count++], entry->d_name, size);
	}
	if (count > 0)
		qsort(found, count, NAME_SIZE, compare_minors);
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = visit_program(s, PLACE_PATH, folder, found[i]);
	return r;
}

static int visit_folder(const struct search *s, const char *folder)
{
	const struct python_request *q = s->request;
	struct names names;
	int r = 0;
	if (q->kind == REQUEST_NAME)
		return visit_program(s, PLACE_PATH, folder, q->text);
	collect_names(q, &names);
	for (size_t i = 0; r == 0 && i < names.count; i++)
		r = visit_program(s, PLACE_PATH, folder, names.names[i]);
	bool more = q->kind == REQUEST_ANY || q->kind == REQUEST_RANGE || q->count < 2;
	return r == 0 && more ? visit_minors(s, folder) : r;
}

/* /bin is /usr/bin on most machines, and a folder may stand in PATH twice. */
static bool is_new_folder(const char *folder, struct buffer *seen)
{
	struct stat st;
	if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
		return false;
	const uint64_t id[2] = { st.st_dev, st.st_ino };
	for (size_t i = 0; i + sizeof(id) <= seen->size; i += sizeof(id)) {
		if (memcmp(seen->data + i, id, sizeof(id)) == 0)
			return false;
	}
	return buffer_append(seen, id, sizeof(id)) == 0;
}

static int search_path(const struct search *s)
{
	const char *other = getenv("UV_PYTHON_SEARCH_PATH");
	const char *path = other ? other : getenv("PATH");
	cleanup_free char *copy = strdup(path ? path : "/usr/local/bin:/usr/bin:/bin");
	cleanup_buffer struct buffer seen = BUFFER_INIT;
	char *rest = copy;
	const char *folder;
	int r = copy ? 0 : -ENOMEM;
	while (r == 0 && (folder = strsep(&rest, ":")) != NULL) {
		if (!*folder)
			folder = ".";
		if (is_new_folder(folder, &seen))
			r = visit_folder(s, folder);
	}
	return r;
}

/* --- both --- */

enum preference {
	PREFER_MANAGED,
	PREFER_SYSTEM,
	ONLY_MANAGED,
	ONLY_SYSTEM,
};

static bool is_set(const char *variable)
{
	static const char *const yes[] = { "1", "true", "yes", "on", "y", "t" };
	const char *value = getenv(variable);
	for (size_t i = 0; value && i < sizeof(yes) / sizeof(*yes); i++) {
		if (strcasecmp(value, yes[i]) == 0)
			return true;
	}
	return false;
}

static enum preference get_preference(const char *said)
{
	static const struct {
		const char *text;
		enum preference preference;
	} known[] = { { "managed", PREFER_MANAGED },
		      { "system", PREFER_SYSTEM },
		      { "only-managed", ONLY_MANAGED },
		      { "only-system", ONLY_SYSTEM } };
	const char *variable = getenv("UV_PYTHON_PREFERENCE");
	const char *value = variable && *variable ? variable : said;
	if (is_set("UV_MANAGED_PYTHON"))
		return ONLY_MANAGED;
	if (is_set("UV_NO_MANAGED_PYTHON"))
		return ONLY_SYSTEM;
	for (size_t i = 0; value && i < sizeof(known) / sizeof(*known); i++) {
		if (strcasecmp(value, known[i].text) == 0)
			return known[i].preference;
	}
	return PREFER_MANAGED;
}

/* The program of an installation, or of a virtual environment. */
static int visit_named(const struct search *s)
{
	static const char *const programs[] = { "bin/python", "bin/python3" };
	struct stat st;
	int r = 0;
	bool bare = !strchr(s->request->text, '/');
	/* Without a slash it would be looked for in PATH. */
	cleanup_free char *path =
	    bare ? path_join(".", s->request->text) : strdup(s->request->text);
	if (!path)
		return -ENOMEM;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return s->visit(s->context, PLACE_NAMED, path);
	for (size_t i = 0; r == 0 && i < sizeof(programs) / sizeof(*programs); i++)
		r = visit_program(s, PLACE_NAMED, path, programs[i]);
	return r;
}

int places_visit(const struct python_request *request, const char *preference,
		 place_visit *visit, void *context)
{
	const struct search s = { request, visit, context };
	enum preference order = get_preference(preference);
	if (request->kind == REQUEST_PATH)
		return visit_named(&s);
	if (request->kind == REQUEST_NAME || order == ONLY_SYSTEM)
		return search_path(&s);
	if (order == ONLY_MANAGED)
		return search_managed(&s);
	int r = order == PREFER_SYSTEM ? search_path(&s) : search_managed(&s);
	if (r == 0)
		r = order == PREFER_SYSTEM ? search_managed(&s) : search_path(&s);
	return r;
}
