#include "cache/env/shim.h"

#include "cache/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What `pyenv exec python` looks at, of pyenv 2.3 to 2.7: PYENV_VERSION; .python-version
 * from PYENV_DIR upward, which is the working directory, and from $PWD; PYENV_ROOT's
 * `version`; which versions are there and what lies in their bin/; hooks. Of files that
 * name versions the text counts, of others their stamps, and a shim that does not look
 * as pyenv has it, or a hook that pyenv and its plugins do not have, ends it.
 */
enum { LARGEST_SHIM = 4096, LARGEST_VERSION = 64 << 10 };

static const char *const known_hooks[] = { "pip-rehash.bash", "conda.bash",
					   "python-config.bash",
					   "system-site-packages.bash" };

void shim_release(struct shim *shim)
{
	buffer_release(&shim->says);
	free(shim->versions);
	*shim = (struct shim){ .versions = NULL };
}

int file_describe(const char *path, struct buffer *out)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -errno;
	return buffer_printf(out, "%llu %llu %lld %lld.%09ld\n",
			     (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
			     (long long)st.st_size, (long long)st.st_mtim.tv_sec,
			     st.st_mtim.tv_nsec);
}

/* What stands between `before` and the next quote, at the start of a line. */
static char *quoted_after(const char *text, const char *before)
{
	const char *at = strstr(text, before);
	if (!at || (at != text && at[-1] != '\n'))
		return NULL;
	at += strlen(before);
	const char *end = strpbrk(at, "\"\n$`\\");
	return end && *end == '"' && *at == '/' ? strndup(at, (size_t)(end - at)) : NULL;
}

/* The folder of pyenv's versions, and its program. */
static int read_script(const char *path, char **ret_root, char **ret_program)
{
	static const char end[] = "\" exec \"$program\" \"$@\"";
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = file_read_at(AT_FDCWD, path, LARGEST_SHIM, &text);
	const char *script = r == 0 ? buffer_cstr(&text) : NULL;
	if (!script)
		return -ENOENT;
	cleanup_free char *root = quoted_after(script, "export PYENV_ROOT=\"");
	cleanup_free char *program = quoted_after(script, "exec \"");
	const char *last = strstr(script, end);
	if (!root || !program || !last || strspn(last + strlen(end), "\n") == 0 ||
	    last[strlen(end) + strspn(last + strlen(end), "\n")])
		return -ENOENT;
	*ret_root = steal_ptr(root);
	*ret_program = steal_ptr(program);
	return 0;
}

static bool is_known_hook(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	for (size_t i = 0; i < sizeof(known_hooks) / sizeof(*known_hooks); i++) {
		if (strcmp(known_hooks[i], name) == 0)
			return true;
	}
	return false;
}

typedef int visit_path(const char *path, struct buffer *out);

static int add_hook(const char *path, struct buffer *out)
{
	return is_known_hook(path) ? file_describe(path, out) : -ENOENT;
}

/* A version and what programs it has. One without is as good as none. */
static int add_version(const char *path, struct buffer *out)
{
	int r = buffer_printf(out, "%s\n", path);
	if (r == 0)
		r = file_describe(path, out);
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}

/* All paths of a pattern below `folder`, whose own name may hold anything. */
static int add_all(const char *folder, const char *pattern, visit_path *visit,
		   struct buffer *out)
{
	glob_t found = { .gl_pathc = 0 };
	cleanup_free char *all = path_join(folder, pattern);
	if (!all)
		return -ENOMEM;
	if (strpbrk(folder, "*?[\\"))
		return -ENOENT;
	int code = glob(all, 0, NULL, &found);
	int r = code == 0 || code == GLOB_NOMATCH ? 0 : -ENOENT;
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		r = visit(found.gl_pathv[i], out);
	globfree(&found);
	return r;
}

static int add_hooks_of(const char *folder, struct buffer *out)
{
	static const char *const patterns[] = { "exec/*.bash", "which/*.bash",
						"version-name/*.bash" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < 3; i++)
		r = add_all(folder, patterns[i], add_hook, out);
	return r;
}

static int add_hooks(const char *root, const char *program, struct buffer *out)
{
	static const char *const places[] = { "/usr/etc/pyenv.d",
					      "/usr/local/etc/pyenv.d", "/etc/pyenv.d",
					      "/usr/lib/pyenv/hooks" };
	cleanup_free char *own = path_join(root, "pyenv.d");
	cleanup_free char *real = realpath(program, NULL);
	/* <prefix>/libexec/pyenv */
	cleanup_free char *prefix =
	    real ? path_join(dirname(dirname(real)), "pyenv.d") : NULL;
	if (!own || !prefix)
		return -ENOENT;
	int r = add_hooks_of(own, out);
	if (r == 0)
		r = add_hooks_of(prefix, out);
	for (size_t i = 0; r == 0 && i < sizeof(places) / sizeof(*places); i++)
		r = add_hooks_of(places[i], out);
	return r == 0 ? add_all(root, "plugins/*/etc/pyenv.d", add_hooks_of, out) : r;
}

/* The text of a file that names versions; nothing where there is none. */
static int add_text(const char *path, struct buffer *out)
{
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	int r = buffer_printf(out, "%s:\n", path);
	return r == 0 ? file_read_to_end(fd, LARGEST_VERSION, out) : r;
}

static int add_pins(const char *folder, struct buffer *out)
{
	cleanup_free char *at = strdup(folder ? folder : "");
	int r = at ? buffer_printf(out, "from %s\n", at) : -ENOMEM;
	if (r < 0 || *at != '/')
		return r;
	for (;;) {
		cleanup_free char *pin = path_join(at, ".python-version");
		r = pin ? add_text(pin, out) : -ENOMEM;
		if (r < 0 || !*at)
			return r;
		*strrchr(at, '/') = '\0';
	}
}

static int add_variables(struct buffer *out)
{
	int r = 0;
	for (char **v = environ; r == 0 && v && *v; v++) {
		if (strncmp(*v, "PYENV_", 6) == 0 || strncmp(*v, "_PYENV_", 7) == 0)
			r = buffer_printf(out, "%s\n", *v);
	}
	return r;
}

static int add_all_that_decides(const char *root, const char *program, struct shim *s)
{
	cleanup_free char *here = getcwd(NULL, 0);
	cleanup_free char *global = path_join(root, "version");
	struct buffer *out = &s->says;
	if (!here || !global || getenv("PYENV_HOOK_PATH"))
		return -ENOENT;
	int r = add_variables(out);
	if (r == 0)
		r = add_hooks(root, program, out);
	if (r == 0)
		r = add_all(s->versions, "*", add_version, out);
	if (r == 0)
		r = add_all(s->versions, "*/bin", add_version, out);
	if (r == 0)
		r = add_pins(here, out);
	if (r == 0)
		r = add_pins(getenv("PWD"), out);
	if (r == 0)
		r = add_pins(getenv("PYENV_DIR"), out);
	if (r == 0)
		r = add_text(global, out);
	/* What is in PATH is not known here. */
	return r == 0 && memmem(out->data, out->size, "system", 6) ? -ENOENT : r;
}

int shim_read(const char *path, struct shim *ret)
{
	cleanup_free char *root = NULL;
	cleanup_free char *program = NULL;
	CLEANUP(shim_release) struct shim s = { .versions = NULL };
	int r = read_script(path, &root, &program);
	if (r < 0)
		return r;
	s.versions = path_join(root, "versions");
	r = s.versions ? buffer_printf(&s.says, "%s\n%s\n", path, root) : -ENOMEM;
	if (r == 0)
		r = file_describe(path, &s.says);
	if (r == 0)
		r = file_describe(program, &s.says);
	if (r == 0)
		r = add_all_that_decides(root, program, &s);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct shim){ .versions = NULL };
	return 0;
}

bool shim_has(const struct shim *shim, const char *executable)
{
	cleanup_free char *real = realpath(shim->versions, NULL);
	cleanup_free char *found = realpath(executable, NULL);
	size_t size = real ? strlen(real) : 0;
	return found && size > 1 && strncmp(found, real, size) == 0 && found[size] == '/';
}
