#include "tests/fuzz/lock_input.h"

#include "cache/base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void check_text(const char *text, size_t most)
{
	if (!text)
		return;
	must(strlen(text) <= most);
	for (; *text; text++)
		must((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void check_wheel(const struct target *target, const struct wanted_wheel *w)
{
	must(w->name && w->version && w->file && (w->url || w->path));
	check_text(w->name, WANTED_NAME);
	check_text(w->version, WANTED_TEXT);
	check_text(w->file, WANTED_TEXT);
	check_text(w->url, WANTED_TEXT);
	check_text(w->path, WANTED_TEXT);
	check_text(w->index_url, WANTED_TEXT);
	must(!w->path || w->path[0] == '/');
	must(w->bytes.size >= -1);
	must(target_rank(target, w->file).tags >= 0);
}

static void check_source(const struct wanted_source *s)
{
	must(s->name && s->path_or_url && (s->kind != WANTED_GIT || s->commit));
	check_text(s->version, WANTED_TEXT);
	check_text(s->path_or_url, WANTED_TEXT);
	check_text(s->index_url, WANTED_TEXT);
	check_text(s->subdirectory, WANTED_TEXT);
	check_text(s->commit, WANTED_TEXT);
	check_text(s->revision, WANTED_TEXT);
}

static void check_dist(const struct target *target, const struct wanted_dist *d)
{
	must((d->wheel_count > 0) + (d->source != NULL) + d->pinned == 1);
	check_text(d->name, WANTED_NAME);
	check_text(d->version, WANTED_TEXT);
	for (size_t i = 0; i < d->wheel_count; i++) {
		check_wheel(target, &d->wheels[i]);
		struct wheel_rank rank = target_rank(target, d->wheels[i].file);
		struct wheel_rank before =
		    target_rank(target, d->wheels[i ? i - 1 : 0].file);
		must(wheel_rank_compare(&before, &rank) <= 0);
	}
	if (d->source)
		check_source(d->source);
}

static void read_one(const struct lock_file *file, const struct target *target,
		     const struct lock_options *options)
{
	struct wanted wanted = { .dists = NULL };
	struct lock_notes notes = { .warnings = BUFFER_INIT };
	struct error err = ERROR_INIT;
	int r = lock_read(file, options, target, &wanted, &notes, &err);
	must(r == 0 || *error_text(&err, r));
	for (size_t i = 0; r == 0 && i < wanted.count; i++) {
		check_dist(target, &wanted.dists[i]);
		must(i == 0 ||
		     strcmp(wanted.dists[i - 1].name, wanted.dists[i].name) < 0);
	}
	wanted_release(&wanted);
	lock_notes_release(&notes);
}

void lock_input_try(enum lock_kind kind, const char *name, const uint8_t *data,
		    size_t size)
{
	static const char *const dev[] = { "dev" };
	static char facts[] =
	    "{\"markers\": {\"implementation_name\": \"cpython\", "
	    "\"implementation_version\": \"3.11.7\", \"os_name\": \"posix\", "
	    "\"platform_machine\": \"x86_64\", \"platform_python_implementation\": "
	    "\"CPython\", \"platform_release\": \"6.1\", \"platform_system\": "
	    "\"Linux\", \"platform_version\": \"\", \"python_full_version\": "
	    "\"3.11.7\", \"python_version\": \"3.11\", \"sys_platform\": \"linux\"}}";
	char texts[][8] = { "cpython", "x86_64", "glibc", "2.36", "3.11.7" };
	const struct interpreter interpreter = { .executable = texts[0],
						 .name = texts[0],
						 .machine = texts[1],
						 .libc = texts[2],
						 .libc_version = texts[3],
						 .version = texts[4],
						 .soabi = texts[0],
						 .facts = facts,
						 .major = 3,
						 .minor = 11,
						 .pointer_bits = 64 };
	const struct lock_options plain = { .no_dev = false };
	const struct lock_options all = { .all_extras = true, .all_groups = true };
	const struct lock_options only = { .only_groups = { dev, 1 } };
	char folder[] = "/tmp/venvfs-fuzz-XXXXXX";
	struct target target;
	struct lock_file file = { .kind = kind };
	if (!mkdtemp(folder) || target_init(&interpreter, &target, NULL) < 0)
		abort();
	file.folder = file.project = folder;
	file.path = path_join(folder, name);
	if (!file.path || file_replace_at(AT_FDCWD, file.path, data, size, false) < 0)
		abort();
	read_one(&file, &target, &plain);
	read_one(&file, &target, &all);
	read_one(&file, &target, &only);
	target_release(&target);
	free(file.path);
	if (file_remove_tree_at(AT_FDCWD, folder) < 0)
		abort();
}
