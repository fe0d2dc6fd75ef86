/*
 * What tests in Python ask the code of lock files by:
 *
 *   lock_driver vectors                     questions of vectors.c from stdin
 *   lock_driver lock PYTHON [OPTION...] FILE | --find DIR
 *                                           what it wants, as JSON
 */
#include "cache/base/json.h"
#include "cache/env/lock/lock.h"
#include "cache/store/store.h"
#include "tests/lock/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int answer_all(void)
{
	struct vectors vectors = { .interpreter.name = NULL };
	char *line = NULL;
	size_t room = 0;
	ssize_t size;
	while ((size = getline(&line, &room, stdin)) > 0) {
		cleanup_buffer struct buffer out = BUFFER_INIT;
		if (line[size - 1] == '\n')
			line[size - 1] = '\0';
		vectors_answer(&vectors, line, &out);
		printf("%s\n", buffer_cstr(&out));
	}
	free(line);
	return 0;
}

static json_t *text(const char *value)
{
	return value ? json_string(value) : json_null();
}

static json_t *show_bytes(const struct wanted_bytes *b)
{
	char hex[SHA256_HEX_SIZE] = "";
	json_t *o = json_object();
	if (b->has_sha256)
		sha256_format(&b->sha256, hex);
	if (b->size >= 0)
		(void)json_object_set_new(o, "size", json_integer(b->size));
	if (b->has_sha256)
		(void)json_object_set_new(o, "sha256", json_string(hex));
	for (size_t i = 0; i < b->other_count; i++)
		(void)json_object_set_new(o, b->others[i].algorithm,
					  json_string(b->others[i].hex));
	return o;
}

static json_t *show_wheel(const struct wanted_wheel *w)
{
	return json_pack("{so so so so so so so}", "name", text(w->name), "version",
			 text(w->version), "file", text(w->file), "url", text(w->url),
			 "path", text(w->path), "index", text(w->index_url), "bytes",
			 show_bytes(&w->bytes));
}

static json_t *show_source(const struct wanted_source *s)
{
	static const char *const kinds[] = { "directory", "sdist", "git" };
	if (!s)
		return json_null();
	return json_pack("{ss so so so so so sb so}", "kind", kinds[s->kind], "place",
			 text(s->path_or_url), "index", text(s->index_url),
			 "subdirectory", text(s->subdirectory), "commit", text(s->commit),
			 "revision", text(s->revision), "editable", s->editable, "bytes",
			 show_bytes(&s->bytes));
}

static json_t *show_dist(const struct wanted_dist *d)
{
	json_t *wheels = json_array();
	json_t *hashes = json_array();
	for (size_t i = 0; i < d->wheel_count; i++)
		(void)json_array_append_new(wheels, show_wheel(&d->wheels[i]));
	for (size_t i = 0; i < d->hash_count; i++)
		(void)json_array_append_new(hashes, show_bytes(&d->hashes[i]));
	return json_pack("{so so sb sb sb sb so so so}", "name", text(d->name), "version",
			 text(d->version), "direct", d->direct, "pinned", d->pinned,
			 "no_wheel", d->no_wheel, "no_sdist", d->no_sdist, "wheels",
			 wheels, "source", show_source(d->source), "hashes", hashes);
}

static json_t *show_texts(char *const *texts, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		(void)json_array_append_new(list, json_string(texts[i]));
	return list;
}

static void show(const struct lock_file *file, const struct wanted *w,
		 struct lock_notes *notes)
{
	json_t *dists = json_array();
	json_t *inputs = json_array();
	const struct wanted_indexes *i = &w->indexes;
	cleanup_buffer struct buffer out = BUFFER_INIT;
	for (size_t k = 0; k < w->count; k++)
		(void)json_array_append_new(dists, show_dist(&w->dists[k]));
	for (size_t k = 0; k < json_array_size(notes->inputs.files); k++) {
		const json_t *input = json_array_get(notes->inputs.files, k);
		(void)json_array_append(inputs, json_array_get(input, 0));
	}
	cleanup_json json_t *all = json_pack(
	    "{so so so so so so so sb sb}", "file", text(file->path), "project",
	    text(file->project), "dists", dists, "inputs", inputs, "index_url",
	    text(i->index_url), "extra", show_texts(i->extra_urls, i->extra_count),
	    "links", show_texts(i->find_links, i->find_count), "no_index", i->no_index,
	    "require_hashes", w->require_hashes);
	const char *warnings = buffer_cstr(&notes->warnings);
	(void)json_object_set_new(all, "warnings", json_string(warnings));
	(void)json_print(all, true, &out);
	printf("%s\n", buffer_cstr(&out));
}

/* The options of the command line, and what is read. */
struct asked {
	const char *python, *find, *file;
	bool requirements;
	struct lock_options options;
	const char *names[5][64];
};

static void take_list(struct lock_names *to, const char **names, const char *name)
{
	names[to->count++] = name;
	to->names = names;
}

static bool take_flag(struct lock_options *o, const char *word)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = { { "--all-extras", &o->all_extras },
		      { "--all-groups", &o->all_groups },
		      { "--no-default-groups", &o->no_default_groups },
		      { "--no-dev", &o->no_dev },
		      { "--only-dev", &o->only_dev },
		      { "--all-packages", &o->all_packages },
		      { "--no-install-project", &o->no_project },
		      { "--no-editable", &o->no_editable } };
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (strcmp(word, flags[i].name) != 0)
			continue;
		*flags[i].flag = true;
		return true;
	}
	return false;
}

static void take_word(struct asked *a, const char *word, const char *value)
{
	struct lock_options *o = &a->options;
	if (strcmp(word, "--extra") == 0)
		take_list(&o->extras, a->names[0], value);
	else if (strcmp(word, "--no-extra") == 0)
		take_list(&o->no_extras, a->names[1], value);
	else if (strcmp(word, "--group") == 0)
		take_list(&o->groups, a->names[2], value);
	else if (strcmp(word, "--no-group") == 0)
		take_list(&o->no_groups, a->names[3], value);
	else if (strcmp(word, "--only-group") == 0)
		take_list(&o->only_groups, a->names[4], value);
	else if (strcmp(word, "--find") == 0)
		a->find = value;
	else
		a->requirements = true;
}

static int read_lock(const struct asked *a, struct store *store, struct error *err)
{
	CLEANUP(interpreter_freep) struct interpreter *interpreter = NULL;
	CLEANUP(lock_file_release) struct lock_file file = { .path = NULL };
	CLEANUP(lock_notes_release)
	struct lock_notes notes = { .warnings = BUFFER_INIT };
	CLEANUP(wanted_release) struct wanted wanted = { .dists = NULL };
	struct target target;
	int r = interpreter_probe(store, a->python, &interpreter, err);
	if (r == 0 && a->find)
		r = lock_find(a->find, &file, err);
	else if (r == 0)
		r = a->requirements ? lock_name_requirements(a->file, &file, err)
				    : lock_name(a->file, &file, err);
	if (r == 0)
		r = target_init(interpreter, &target, err);
	if (r < 0)
		return r;
	r = lock_read(&file, &a->options, &target, &wanted, &notes, err);
	if (r == 0)
		show(&file, &wanted, &notes);
	target_release(&target);
	return r;
}

static int read_asked(int argc, char **argv)
{
	struct asked a = { .python = argv[2] };
	CLEANUP(store_freep) struct store *store = NULL;
	struct error err = ERROR_INIT;
	for (int i = 3; i < argc; i++) {
		if (argv[i][0] != '-')
			a.file = argv[i];
		else if (!take_flag(&a.options, argv[i]) && i + 1 < argc) {
			take_word(&a, argv[i], argv[i + 1]);
			i += strcmp(argv[i], "-r") != 0;
		}
	}
	int r = store_open(getenv("VENVFS_CACHE_DIR"), STORE_OWN, &store, &err);
	if (r == 0)
		r = read_lock(&a, store, &err);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", error_text(&err, r));
	return r < 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "vectors") == 0)
		return answer_all();
	if (argc > 3 && strcmp(argv[1], "lock") == 0)
		return read_asked(argc, argv);
	(void)fprintf(stderr,
		      "usage: lock_driver vectors | lock PYTHON [OPTION...] FILE\n");
	return 2;
}
