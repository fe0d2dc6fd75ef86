/*
 * The venv's own files: the tree that `uv venv` makes, with scripts of our own.
 */
#include "cache/env/quote.h"
#include "cache/env/skeleton.h"
#include "cache/env/templates.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int add_file(struct image_writer *w, const char *path, const void *bytes,
		    size_t size)
{
	struct item item = { .path = path, .type = ENTRY_FILE, .mode = 0644 };
	return image_writer_add_file(w, &item, bytes, size, false);
}

static int add_text(struct image_writer *w, const char *path, const char *text)
{
	return add_file(w, path, text, strlen(text));
}

static int add_link(struct image_writer *w, const char *path, const char *target)
{
	struct item item = {
		.path = path, .type = ENTRY_SYMLINK, .mode = 0777, .target = target
	};
	return image_writer_add(w, &item);
}

static int add_directory(struct image_writer *w, const char *path)
{
	struct item item = { .path = path, .type = ENTRY_DIRECTORY, .mode = 0755 };
	return image_writer_add(w, &item);
}

static int add_python_link(struct image_writer *w, const char *name)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "root/bin/%s", name);
	return add_link(w, path, "python");
}

/* bin/python leads to the interpreter, and its other names to bin/python. */
static int add_interpreter(struct image_writer *w, const struct interpreter *p)
{
	char version[32];
	(void)snprintf(version, sizeof(version), "python%d.%d", p->major, p->minor);
	int r = add_link(w, "root/bin/python", p->executable);
	if (r == 0)
		r = add_python_link(w, "python3");
	if (r == 0)
		r = add_python_link(w, version);
	(void)snprintf(version, sizeof(version), "python%d.%dt", p->major, p->minor);
	if (r == 0 && p->free_threaded)
		r = add_python_link(w, version);
	if (r == 0 && strcmp(p->name, "pypy") == 0)
		r = add_python_link(w, "pypy");
	if (r == 0 && strcmp(p->name, "pypy") == 0)
		r = add_python_link(w, "pypy3");
	if (r == 0 && strcmp(p->name, "graalpy") == 0)
		r = add_python_link(w, "graalpy");
	return r;
}

static int add_pyvenv_cfg(struct image_writer *w, const struct interpreter *p)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = buffer_printf(&text,
			      "home = %s\n"
			      "implementation = %s\n"
			      "venvfs = " VENVFS_VERSION "\n"
			      "version_info = %s\n"
			      "include-system-site-packages = false\n",
			      p->home, p->implementation, p->version);
	return r < 0 ? r : add_file(w, "root/pyvenv.cfg", text.data, text.size);
}

/* What the prompt shows: the folder of the project for .venv, else the venv's own name.
 */
static void prompt_name(const char *mount_path, char *ret_name, size_t room)
{
	const char *name = strrchr(mount_path, '/');
	size_t size = name ? strlen(name + 1) : 0;
	if (name && name[1] == '.' && name != mount_path) {
		const char *end = name;
		while (name > mount_path && name[-1] != '/')
			name--;
		size = (size_t)(end - name);
		name--;
	}
	(void)snprintf(ret_name, room, "%.*s", (int)size, name ? name + 1 : "venv");
}

/* A template with its marks replaced by literals of its language. */
static int fill_template(struct buffer *out, const uint8_t *text, size_t size,
			 enum quoting quoting, const char *venv,
			 const char *site_packages)
{
	char prompt[256];
	char site[256];
	prompt_name(venv, prompt, sizeof(prompt));
	(void)snprintf(site, sizeof(site), "../%s", site_packages);
	const struct {
		const char *mark, *value;
	} marks[] = { { "@VENV@", venv }, { "@PROMPT@", prompt }, { "@SITE@", site } };
	const char *p = (const char *)text;
	const char *end = p + size;
	while (p < end) {
		const char *at = memchr(p, '@', (size_t)(end - p));
		int r = buffer_append(out, p, (size_t)((at ? at : end) - p));
		if (r < 0 || !at)
			return r;
		size_t i = 0;
		while (i < 3 && strncmp(at, marks[i].mark, strlen(marks[i].mark)) != 0)
			i++;
		r = i < 3 ? quote_append(out, quoting, marks[i].value)
			  : buffer_append(out, at, 1);
		if (r < 0)
			return r;
		p = at + (i < 3 ? strlen(marks[i].mark) : 1);
	}
	return 0;
}

enum { SCRIPTS = 6 };

/* In an array of the caller's, as the sizes are no constants. */
struct activation {
	const char *name;
	const uint8_t *text;
	size_t size;
	enum quoting quoting;
};

static void list_scripts(struct activation ret[SCRIPTS])
{
	const struct activation scripts[SCRIPTS] = {
		{ "activate", template_activate, template_activate_size, QUOTE_SH },
		{ "activate.csh", template_activate_csh, template_activate_csh_size,
		  QUOTE_CSH },
		{ "activate.fish", template_activate_fish, template_activate_fish_size,
		  QUOTE_FISH },
		{ "activate.nu", template_activate_nu, template_activate_nu_size,
		  QUOTE_NU },
		{ "activate.ps1", template_activate_ps1, template_activate_ps1_size,
		  QUOTE_POWERSHELL },
		{ "activate_this.py", template_activate_this_py,
		  template_activate_this_py_size, QUOTE_PYTHON },
	};
	memcpy(ret, scripts, sizeof(scripts));
}

static bool find_script(const char *name, struct activation *ret)
{
	struct activation scripts[SCRIPTS];
	list_scripts(scripts);
	for (size_t i = 0; i < SCRIPTS; i++) {
		if (strcmp(name, scripts[i].name) != 0)
			continue;
		*ret = scripts[i];
		return true;
	}
	return false;
}

bool skeleton_is_activation(const char *name, enum quoting *ret_quoting)
{
	struct activation script;
	if (!find_script(name, &script))
		return false;
	*ret_quoting = script.quoting;
	return true;
}

int skeleton_activation(struct buffer *out, const char *name, const char *path,
			const char *site_packages)
{
	struct activation script;
	if (!find_script(name, &script))
		return -ENOENT;
	return fill_template(out, script.text, script.size, script.quoting, path,
			     site_packages);
}

static int add_activation(struct image_writer *w,
			  const struct environment_request *request)
{
	struct activation scripts[SCRIPTS];
	list_scripts(scripts);
	for (size_t i = 0; i < SCRIPTS; i++) {
		char path[64];
		cleanup_buffer struct buffer text = BUFFER_INIT;
		(void)snprintf(path, sizeof(path), "root/bin/%s", scripts[i].name);
		int r = fill_template(&text, scripts[i].text, scripts[i].size,
				      scripts[i].quoting, request->mount_path,
				      request->interpreter->site_packages);
		if (r == 0)
			r = add_file(w, path, text.data, text.size);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Wheels with headers need the directory that their headers appear in. */
static int add_include(struct image_writer *w, const struct environment_request *request)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "root/%s", request->interpreter->include);
	for (size_t i = 0; i < request->count; i++) {
		struct entry ignored;
		int r = image_resolve(request->wheels[i].image, "include", &ignored);
		if (r == 0)
			return add_directory(w, path);
		if (r != -ENOENT)
			return r;
	}
	return 0;
}

int skeleton_add_venv(struct image_writer *w, const struct environment_request *request)
{
	const struct interpreter *p = request->interpreter;
	char site[256];
	(void)snprintf(site, sizeof(site), "root/%s", p->site_packages);
	int r = add_interpreter(w, p);
	if (r == 0)
		r = add_pyvenv_cfg(w, p);
	if (r == 0)
		r = add_text(w, "root/.gitignore", "*");
	if (r == 0)
		r = add_text(w, "root/CACHEDIR.TAG",
			     "Signature: 8a477f597d28d172789f06886806bc55");
	if (r == 0)
		r = add_directory(w, site);
	if (r == 0)
		r = add_include(w, request);
	if (r == 0 && p->pointer_bits == 64)
		r = add_link(w, "root/lib64", "lib");
	return r < 0 ? r : add_activation(w, request);
}
