#include "cache/env/interpreter.h"

#include "cache/base/file.h"
#include "cache/base/json.h"
#include "cache/base/run.h"
#include "cache/env/shim.h"
#include "cache/env/templates.h"
#include "cache/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { PROBE_SECONDS = 30, LARGEST_ANSWER = 1 << 20 };

static const char shims[] = "shims";

/* The kernel and the libc that it runs on, of which it tells, too. */
static int describe_system(struct buffer *out)
{
	struct utsname system;
	char libc[64] = "";
	if (uname(&system) < 0)
		return -errno;
#ifdef _CS_GNU_LIBC_VERSION
	(void)confstr(_CS_GNU_LIBC_VERSION, libc, sizeof(libc));
#endif
	return buffer_printf(out, "%s %s %s %s\n", system.release, system.version,
			     system.machine, libc);
}

/* What tells an interpreter from itself after an upgrade, and from another probe's
 * answers. */
static int fact_key(const char *path, struct digest *ret)
{
	cleanup_free char *real = realpath(path, NULL);
	cleanup_buffer struct buffer key = BUFFER_INIT;
	if (!real)
		return -errno;
	int r = buffer_printf(&key, "%s\n%s\n", path, real);
	if (r == 0)
		r = file_describe(real, &key);
	if (r == 0)
		r = describe_system(&key);
	if (r == 0)
		r = buffer_append(&key, template_probe_py, template_probe_py_size);
	if (r == 0)
		*ret = digest_of(key.data, key.size);
	return r;
}

/*
 * A pyenv or asdf shim is a script whose answer depends on the working directory and on
 * variables: its own file does not tell. Of pyenv's all that decides is known (shim.h).
 */
static bool is_script(const char *path)
{
	char head[2] = "";
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0);
	return fd >= 0 && file_pread_all(fd, head, sizeof(head), 0) == 0 &&
	       head[0] == '#' && head[1] == '!';
}

static int run_probe(const char *path, struct buffer *ret_answer, struct error *reterr)
{
	cleanup_free char *script =
	    strndup((const char *)template_probe_py, template_probe_py_size);
	if (!script)
		return -ENOMEM;
	const char *argv[] = { path, "-I", "-c", script, NULL };
	const struct run run = { .argv = argv,
				 .seconds = PROBE_SECONDS,
				 .limit = LARGEST_ANSWER };
	int status = run_program(&run, ret_answer);
	if (status == -ETIMEDOUT)
		return error_set(reterr, status,
				 "python '%s' did not answer within %d seconds", path,
				 PROBE_SECONDS);
	if (status < 0)
		return error_errno(reterr, status, "cannot run python '%s'", path);
	if (status > 0)
		return error_set(
		    reterr, -EINVAL,
		    "python '%s' cannot be used: asked about itself, it ended with "
		    "status %d",
		    path, status);
	return 0;
}

static char *copy_text(const json_t *facts, const char *key)
{
	const char *text = json_get_text(facts, key);
	return strdup(text ? text : "");
}

static int fill_paths(struct interpreter *p)
{
	const char *slash = strrchr(p->executable, '/');
	p->home = slash && slash != p->executable
		      ? strndup(p->executable, (size_t)(slash - p->executable))
		      : strdup("/");
	/* As pip and uv have it, of every implementation and build. */
	if (asprintf(&p->include, "include/site/python%d.%d", p->major, p->minor) < 0)
		p->include = NULL;
	return p->home && p->include ? 0 : -ENOMEM;
}

/* lib/<anything>/site-packages: RECORD's rows for bin/ begin with "../../../". */
static bool is_site_packages(const char *path)
{
	const char *second = strncmp(path, "lib/", 4) == 0 ? path + 4 : "";
	size_t size = strcspn(second, "/");
	return size > 0 && size < 64 && second[0] != '.' &&
	       strcmp(second + size, "/site-packages") == 0;
}

static int parse_facts(const char *path, const struct buffer *answer,
		       struct interpreter **ret, struct error *reterr)
{
	cleanup_json json_t *facts = NULL;
	CLEANUP(interpreter_freep) struct interpreter *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	if (json_parse_object(answer->data, answer->size, &facts) < 0)
		return error_set(reterr, -EINVAL, "'%s' does not answer as a Python does",
				 path);
	p->executable = copy_text(facts, "executable");
	p->version = copy_text(facts, "version");
	p->implementation = copy_text(facts, "implementation");
	p->name = copy_text(facts, "name");
	p->cache_tag = copy_text(facts, "cache_tag");
	p->soabi = copy_text(facts, "soabi");
	p->machine = copy_text(facts, "machine");
	p->libc = copy_text(facts, "libc");
	p->libc_version = copy_text(facts, "libc_version");
	p->site_packages = copy_text(facts, "site_packages");
	p->pip_wheels = copy_text(facts, "pip_wheels");
	p->facts = strndup((const char *)answer->data, answer->size);
	p->major = (int)json_get_int(facts, "major", 0);
	p->minor = (int)json_get_int(facts, "minor", 0);
	p->pointer_bits = (int)json_get_int(facts, "pointer_bits", 0);
	p->free_threaded = json_get_bool(facts, "free_threaded", false);
	p->debug = json_get_bool(facts, "debug", false);
	if (!p->executable || !p->version || !p->implementation || !p->name ||
	    !p->cache_tag || !p->soabi || !p->machine || !p->libc || !p->libc_version ||
	    !p->site_packages || !p->pip_wheels || !p->facts)
		return -ENOMEM;
	if (p->executable[0] != '/' || strchr(p->executable, '\n') || p->major != 3 ||
	    p->minor < 6 || !p->version[0])
		return error_set(reterr, -EINVAL, "python '%s' is no Python 3.6 or later",
				 path);
	if (!is_site_packages(p->site_packages))
		return error_set(
		    reterr, -EINVAL,
		    "python '%s' has site-packages at '%s', where no venv has them", path,
		    p->site_packages);
	int r = fill_paths(p);
	if (r < 0)
		return r;
	*ret = steal_ptr(p);
	return 0;
}

static int probe_program(struct store *store, const char *path, bool script,
			 struct interpreter **ret, struct error *reterr)
{
	struct digest key;
	cleanup_buffer struct buffer answer = BUFFER_INIT;
	bool remembered = !script && fact_key(path, &key) == 0;
	if (remembered && store_get_fact(store, "interpreters", &key, &answer) == 0 &&
	    parse_facts(path, &answer, ret, NULL) == 0)
		return 0;
	answer.size = 0;
	int r = run_probe(path, &answer, reterr);
	if (r == 0)
		r = parse_facts(path, &answer, ret, reterr);
	if (r == 0 && remembered)
		(void)store_put_fact(store, "interpreters", &key, answer.data,
				     answer.size);
	return r;
}

/* The one that a shim ran under just these circumstances; 0: it is not known. */
static int probe_known(struct store *store, const struct digest *key,
		       struct interpreter **ret)
{
	cleanup_buffer struct buffer path = BUFFER_INIT;
	int r = store_get_fact(store, shims, key, &path);
	const char *program = r == 0 ? buffer_cstr(&path) : NULL;
	if (!program || *program != '/' || is_script(program))
		return 0;
	return probe_program(store, program, false, ret, NULL) == 0;
}

/* Of a shim only what it runs is remembered: that is asked itself, once. */
static int probe_script(struct store *store, const char *path, struct interpreter **ret,
			struct error *reterr)
{
	CLEANUP(shim_release) struct shim shim = { .versions = NULL };
	CLEANUP(interpreter_freep) struct interpreter *p = NULL;
	bool is_shim = shim_read(path, &shim) == 0;
	struct digest key = digest_of(shim.says.data, shim.says.size);
	if (is_shim && probe_known(store, &key, ret) == 1)
		return 0;
	int r = probe_program(store, path, true, &p, reterr);
	if (r < 0)
		return r;
	if (is_shim && shim_has(&shim, p->executable)) {
		(void)store_put_fact(store, shims, &key, p->executable,
				     strlen(p->executable));
		if (probe_known(store, &key, ret) == 1)
			return 0;
	}
	*ret = steal_ptr(p);
	return 0;
}

int interpreter_probe(struct store *store, const char *path, struct interpreter **ret,
		      struct error *reterr)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return error_set(reterr, -errno, "python '%s': %s", path,
				 strerror(errno));
	return is_script(path) ? probe_script(store, path, ret, reterr)
			       : probe_program(store, path, false, ret, reterr);
}

void interpreter_free(struct interpreter *p)
{
	if (!p)
		return;
	free(p->executable);
	free(p->home);
	free(p->version);
	free(p->implementation);
	free(p->name);
	free(p->cache_tag);
	free(p->soabi);
	free(p->machine);
	free(p->libc);
	free(p->libc_version);
	free(p->site_packages);
	free(p->pip_wheels);
	free(p->include);
	free(p->facts);
	free(p);
}
