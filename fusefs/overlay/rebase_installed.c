/*
 * What installers write is compared by what it means: the same wheel, installed by pip or
 * by uv and brought by a lock, differs in notes about who installed it and in the words
 * of launchers. Nobody wrote these, and a conflict over them could not be understood.
 */
#include "fusefs/overlay/rebase_compare.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_LAUNCHER = 4096, LONGEST_NAME = 512 };

bool rebase_is_info(const char *name, size_t size)
{
	static const char ending[] = ".dist-info";
	enum { SIZE = sizeof(ending) - 1 };
	return size > SIZE && memcmp(name + size - SIZE, ending, SIZE) == 0;
}

bool rebase_is_installers(bool in_info, const char *name, size_t size)
{
	static const char *const names[] = { "INSTALLER",          "RECORD",
					     "REQUESTED",          "direct_url.json",
					     "uv_build.json",      "uv_cache.json",
					     "provenance_url.json" };
	for (size_t i = 0; in_info && i < sizeof(names) / sizeof(names[0]); i++) {
		if (size == strlen(names[i]) && memcmp(name, names[i], size) == 0)
			return true;
	}
	return false;
}

/* --- launchers --- */

/* What one calls: "from module import name" and "sys.exit(call())". */
struct launcher {
	char import[LONGEST_NAME];
	char call[LONGEST_NAME];
};

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool copy_name(const char *line, char ret[LONGEST_NAME])
{
	if (*ret || strlen(line) >= LONGEST_NAME)
		return false;
	(void)strcpy(ret, line);
	return true;
}

/* One line of a launcher of pip's (or distlib's), of uv's, or of ours. */
static bool take_line(struct launcher *l, const char *line, bool first)
{
	static const char *const known[] = {
		"",
		"# -*- coding: utf-8 -*-",
		"import re",
		"import sys",
		"if __name__ == '__main__':",
		"if __name__ == \"__main__\":",
		"if sys.argv[0].endswith(\"-script.pyw\"):",
		"if sys.argv[0].endswith(\".exe\"):",
		"elif sys.argv[0].endswith(\".exe\"):",
		"sys.argv[0] = sys.argv[0][:-11]",
		"sys.argv[0] = sys.argv[0][:-4]",
		"sys.argv[0] = sys.argv[0].removesuffix('.exe')",
		"sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])",
		"sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])",
		"' '''",
	};
	if (first)
		return starts_with(line, "#!");
	line += strspn(line, " ");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(line, known[i]) == 0)
			return true;
	}
	if (starts_with(line, "from "))
		return copy_name(line, l->import);
	if (starts_with(line, "sys.exit("))
		return copy_name(line, l->call);
	return starts_with(line, "'''exec' ");
}

static bool parse_launcher(struct buffer *text, struct launcher *ret)
{
	char *rest = (char *)(uintptr_t)buffer_cstr(text);
	const char *line;
	bool first = true;
	*ret = (struct launcher){ .import = "" };
	if (!rest || strlen(rest) != text->size)
		return false;
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (!take_line(ret, line, first))
			return false;
		first = false;
	}
	return *ret->import && *ret->call;
}

static int read_shown(struct rebase *r, const struct found *f, struct buffer *out)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	struct stat st;
	if (!(f->id & NODE_UPPER) && !(f->has_row && (f->row.flags & NODE_CONTENT)))
		return image_read_file(f->lower.image, &f->lower.entry, LARGEST_LAUNCHER,
				       out);
	int code = content_open(r->q->upper, f->id, &content);
	if (code == 0 && fstat(content.fd, &st) < 0)
		code = -errno;
	if (code == 0 && st.st_size > LARGEST_LAUNCHER)
		code = -EFBIG;
	if (code == 0)
		code = buffer_reserve(out, (size_t)st.st_size);
	if (code == 0)
		code = file_pread_all(content.fd, out->data, (size_t)st.st_size, 0);
	if (code == 0)
		out->size = (size_t)st.st_size;
	return code;
}

int rebase_same_launcher(struct rebase *r, const struct found *f, const struct node *ln,
			 bool *ret)
{
	cleanup_buffer struct buffer shown = BUFFER_INIT;
	cleanup_buffer struct buffer theirs = BUFFER_INIT;
	struct launcher a;
	struct launcher b;
	struct stat st;
	*ret = false;
	int code = node_stat(r->o, f, &st);
	if (code < 0 || !S_ISREG(st.st_mode) || ln->entry.type != ENTRY_FILE ||
	    !(st.st_mode & ln->entry.mode & 0111) || st.st_size == 0 ||
	    st.st_size > LARGEST_LAUNCHER || ln->entry.size > LARGEST_LAUNCHER)
		return code;
	code = read_shown(r, f, &shown);
	if (code == 0)
		code = image_read_file(ln->image, &ln->entry, LARGEST_LAUNCHER, &theirs);
	*ret = code == 0 && parse_launcher(&shown, &a) && parse_launcher(&theirs, &b) &&
	       strcmp(a.import, b.import) == 0 && strcmp(a.call, b.call) == 0;
	return code == -ENOENT ? 0 : code;
}

struct rebase_launcher {
	struct rebase_case c;
	struct rebase_place in;
	char *name;             /* c.name */
	char top[LONGEST_NAME]; /* the package that it is of */
};

/* "from tool.cli import main": "tool" */
static void take_top(const struct launcher *l, char ret_top[LONGEST_NAME])
{
	const char *module = l->import + strlen("from ");
	(void)snprintf(ret_top, LONGEST_NAME, "%.*s", (int)strcspn(module, ". "), module);
}

int rebase_defer_launcher(struct rebase *r, const struct rebase_case *c, bool *ret)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	struct launcher l;
	*ret = false;
	int code = rebase_same_launcher(r, &c->f, &c->lo, ret);
	if (code == 0 && *ret)
		code = read_shown(r, &c->f, &text);
	if (code < 0 || !*ret)
		return code;
	struct rebase_launcher *grown =
	    reallocarray(r->launchers, r->launcher_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	r->launchers = grown;
	struct rebase_launcher *new = &grown[r->launcher_count];
	*new = (struct rebase_launcher){ .c = *c, .in = *c->in };
	new->name = strndup(c->name, c->size);
	if (!new->name)
		return -ENOMEM;
	r->launcher_count++;
	(void)parse_launcher(&text, &l);
	take_top(&l, new->top);
	return 0;
}

/* Is there a package of that name that was made in the mount, and stays? */
static bool is_kept(const struct rebase *r, const char *top)
{
	size_t size = strlen(top);
	for (size_t i = 0; i < r->after.count; i++) {
		const struct upper_dentry *d = &r->after.items[i].d;
		bool module =
		    d->name_size == size + 3 && memcmp(d->name + size, ".py", 3) == 0;
		if (d->node != 0 && !d->pin && (module || d->name_size == size) &&
		    memcmp(d->name, top, size) == 0)
			return true;
	}
	return false;
}

int rebase_judge_launchers(struct rebase *r)
{
	int code = 0;
	for (size_t i = 0; code == 0 && i < r->launcher_count; i++) {
		struct rebase_launcher *l = &r->launchers[i];
		uint64_t ignored;
		l->c.in = &l->in;
		l->c.name = l->name;
		if (is_kept(r, l->top))
			code = rebase_put_made(r, &l->c, &ignored);
	}
	return code;
}

void rebase_release_launchers(struct rebase *r)
{
	for (size_t i = 0; i < r->launcher_count; i++)
		free(r->launchers[i].name);
	free(r->launchers);
}

/* --- a directory that was removed and made again --- */

static int append_name(void *context, const struct overlay_child *child)
{
	int code = buffer_append(context, child->name, child->name_size);
	return code == 0 ? buffer_append(context, "", 1) : code;
}

int rebase_names_in(struct rebase *r, uint64_t dir, struct buffer *out)
{
	return overlay_list(r->o, dir, 0, false, append_name, out);
}

static int is_put_back(struct rebase *r, const struct rebase_place *in, const char *name,
		       bool *ret)
{
	struct found_name shown;
	struct node lo;
	size_t size = strlen(name);
	if (rebase_is_installers(in->is_info, name, size))
		return 0;
	int code = name_find(r->o, r->reader, in->old_dir, name, &shown);
	if (code == 0)
		code = tree_lookup(r->q->before, in->lower_dir, name, size, &lo);
	*ret = code == 0;
	if (code < 0)
		return code == -ENOENT ? 0 : code;
	if (!node_is_directory(&shown.node))
		return rebase_equals(r, &shown.node, &lo, ret);
	*ret = lo.entry.type == ENTRY_DIRECTORY;
	const struct rebase_place below = { .old_dir = shown.node.id,
					    .lower_dir = lo.id,
					    .is_info = in->is_info };
	return *ret ? rebase_is_put_back(r, &below, ret) : 0;
}

int rebase_is_put_back(struct rebase *r, const struct rebase_place *place, bool *ret)
{
	cleanup_buffer struct buffer names = BUFFER_INIT;
	int code = ++r->depth < REBASE_DEEPEST
		       ? rebase_names_in(r, place->old_dir, &names)
		       : -EBADMSG;
	const char *name = (const char *)names.data;
	const char *end = name ? name + names.size : NULL;
	*ret = true;
	for (; code == 0 && *ret && name < end; name += strlen(name) + 1) {
		if (strcmp(name, "__pycache__") != 0)
			code = is_put_back(r, place, name, ret);
	}
	r->depth--;
	return code;
}
