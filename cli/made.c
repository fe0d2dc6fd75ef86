#include "cli/made.h"

#include "cache/base/file.h"
#include "cache/source/url.h"
#include "fusefs/serve/plan_changed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MADE_VERSION = 1, LARGEST_MADE = 16 << 20, LARGEST_INPUT = 64 << 20 };

static const char folder_name[] = "made";

static const char *const kinds[] = {
	[LOCK_PYLOCK] = "pylock.toml",
	[LOCK_UV] = "uv.lock",
	[LOCK_REQUIREMENTS] = "requirements.txt",
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

/* --- writing --- */

/* What a file was, or is: found by its stamps or, when these differ, by its bytes. */
struct input {
	int64_t size; /* -1: it is not there */
	int64_t mtime;
	struct digest digest;
};

static int64_t nanoseconds(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* Nothing but a regular file is read. */
static int look(const char *path, struct input *ret, int *ret_fd)
{
	struct stat st;
	*ret = (struct input){ .size = -1 };
	cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	ret->size = st.st_size;
	ret->mtime = nanoseconds(&st.st_mtim);
	*ret_fd = steal_fd(&fd);
	return 1;
}

static int digest_input(int fd, struct digest *ret)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = file_read_to_end(fd, LARGEST_INPUT, &text);
	if (r == 0)
		*ret = digest_of(text.data ? (const void *)text.data : "", text.size);
	return r;
}

/* Of a file that has changed since it was read no stamp is known, only its digest. */
static json_t *input_row(const char *path, const char *hex, const struct timespec *began)
{
	struct input input;
	struct stat st;
	cleanup_fd int fd = -1;
	if (look(path, &input, &fd) < 0)
		return NULL;
	if (fd >= 0 &&
	    (fstat(fd, &st) < 0 || nanoseconds(&st.st_ctim) >= nanoseconds(began)))
		input.mtime = -1;
	return json_pack("[s, I, I, s]", path, (json_int_t)input.size,
			 (json_int_t)input.mtime, hex);
}

static int add_locks(const struct locked *locked, json_t *locks, json_t *inputs)
{
	for (size_t i = 0; i < locked->file_count; i++) {
		json_t *row = json_pack("{s:s, s:s}", "path", locked->files[i].path,
					"kind", kinds[locked->files[i].kind]);
		if (!row || json_array_append_new(locks, row) < 0)
			return -ENOMEM;
	}
	size_t i;
	json_t *input;
	json_array_foreach(locked->inputs, i, input)
	{
		const char *path = json_string_value(json_array_get(input, 0));
		const char *hex = json_string_value(json_array_get(input, 1));
		json_t *row = path && hex ? input_row(path, hex, &locked->began) : NULL;
		if (row && json_array_append_new(inputs, row) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int choose(json_t *to, const char *option, const char *argument)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = argument ? buffer_printf(&text, "%s %s", option, argument)
			 : buffer_append_text(&text, option);
	const char *all = r == 0 ? buffer_cstr(&text) : NULL;
	return all && json_array_append_new(to, json_string(all)) == 0 ? 0 : -ENOMEM;
}

/* As they stood on the command line. */
static int add_chosen(const struct lock_args *a, json_t *to)
{
	const struct {
		const char *option;
		const struct text_list *list;
	} lists[] = { { "--extra", &a->extras },
		      { "--no-extra", &a->no_extras },
		      { "--group", &a->groups },
		      { "--no-group", &a->no_groups },
		      { "--only-group", &a->only_groups } };
	const struct {
		const char *option;
		bool given;
	} flags[] = { { "--all-extras", a->all_extras },
		      { "--all-groups", a->all_groups },
		      { "--no-default-groups", a->no_default_groups },
		      { "--no-dev", a->no_dev },
		      { "--only-dev", a->only_dev },
		      { "--all-packages", a->all_packages },
		      { "--no-install-project", a->no_project },
		      { "--no-editable", a->no_editable },
		      { "--no-build", a->no_build } };
	int r = 0;
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		for (size_t k = 0; r == 0 && k < lists[i].list->count; k++)
			r = choose(to, lists[i].option, lists[i].list->items[k]);
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (r == 0 && flags[i].given)
			r = choose(to, flags[i].option, NULL);
	}
	return r;
}

static int add_wheel(json_t *to, const struct wheel_note *note)
{
	char image[DIGEST_HEX_SIZE];
	char sha256[SHA256_HEX_SIZE];
	digest_format(&note->image, image);
	sha256_format(&note->sha256, sha256);
	json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "file", note->file_name, "sha256",
				sha256, "source", note->source, "origin", note->origin);
	return row && json_object_set_new(to, image, row) == 0 ? 0 : -ENOMEM;
}

static int add_wheels(const struct gathered *g, json_t *to)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < g->locked.count; i++)
		r = add_wheel(to, &g->locked.wheels[i].note);
	for (size_t i = 0; r == 0 && i < g->wheels.count; i++)
		r = add_wheel(to, &g->wheels.jobs[i].note);
	return r;
}

static int spell(const struct gathered *g, const struct gather_options *options,
		 struct buffer *out)
{
	cleanup_json json_t *locks = json_array();
	cleanup_json json_t *inputs = json_array();
	cleanup_json json_t *chosen = json_array();
	cleanup_json json_t *wheels = json_object();
	int r = add_locks(&g->locked, locks, inputs);
	if (r == 0 && g->locked.file_count > 0)
		r = add_chosen(&options->locks, chosen);
	if (r == 0)
		r = add_wheels(g, wheels);
	cleanup_json json_t *all =
	    r == 0
		? json_pack("{s:i, s:O, s:O, s:O, s:O}", "version", MADE_VERSION, "locks",
			    locks, "inputs", inputs, "chosen", chosen, "wheels", wheels)
		: NULL;
	return all ? json_print(all, false, out) : -ENOMEM;
}

static int is_of_key(void *context, const struct plan *plan)
{
	const struct digest *key = context;
	return digest_equal(&plan->key, key);
}

/* Those of plans that are neither mounted nor what changes are over. */
static void remove_others(const struct state *state, int dirfd, const char *name)
{
	cleanup_dir DIR *dir = file_list_dir(dirfd);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, name) == 0)
			continue;
		struct digest key;
		if (!digest_parse(entry->d_name, &key) ||
		    plan_changed_each(state_fd(state), is_of_key, &key) == 0)
			(void)unlinkat(dirfd, entry->d_name, 0);
	}
}

static int open_folder(const struct state *state)
{
	return file_open_beneath(state_fd(state), folder_name, O_RDONLY | O_DIRECTORY, 0);
}

void made_write(const struct state *state, const struct plan *plan,
		const struct gathered *g, const struct gather_options *options)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	char name[DIGEST_HEX_SIZE];
	digest_format(&plan->key, name);
	if (spell(g, options, &text) < 0 ||
	    file_make_dir_at(state_fd(state), folder_name, 0700) < 0)
		return;
	cleanup_fd int dirfd = open_folder(state);
	if (dirfd < 0)
		return;
	(void)file_replace_at(dirfd, name, text.data, text.size, false);
	remove_others(state, dirfd, name);
}

/* --- reading --- */

/* NULL: nothing is known. */
static json_t *read_made(const struct state *state, const struct plan *plan)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *made = NULL;
	char name[DIGEST_HEX_SIZE];
	digest_format(&plan->key, name);
	cleanup_fd int dirfd = open_folder(state);
	if (dirfd < 0 || file_read_at(dirfd, name, LARGEST_MADE, &text) < 0 ||
	    json_parse_object(text.data, text.size, &made) < 0 ||
	    json_get_int(made, "version", 0) != MADE_VERSION)
		return NULL;
	return steal_ptr(made);
}

static const char *text_at(const json_t *row, const char *key)
{
	const char *text = json_get_text(row, key);
	return text ? text : "";
}

/* To look at what lies in the mount would be to wait for its server. */
static bool lies_in(const struct plan *plan, const char *path)
{
	size_t size = strlen(plan->path);
	return strncmp(path, plan->path, size) == 0 &&
	       (path[size] == '/' || path[size] == '\0');
}

static const char *state_of(const struct plan *plan, const json_t *row)
{
	const char *path = json_string_value(json_array_get(row, 0));
	const char *hex = json_string_value(json_array_get(row, 3));
	int64_t size = json_integer_value(json_array_get(row, 1));
	struct input now;
	struct digest before;
	cleanup_fd int fd = -1;
	if (!path || *path != '/' || !hex || !digest_parse(hex, &before) ||
	    lies_in(plan, path))
		return "unknown";
	int r = look(path, &now, &fd);
	if (r < 0)
		return "unknown";
	if (r == 0)
		return size < 0 ? "unchanged" : "missing";
	if (now.size != size)
		return "changed";
	if (now.mtime == json_integer_value(json_array_get(row, 2)))
		return "unchanged";
	if (digest_input(fd, &now.digest) < 0)
		return "unknown";
	return digest_equal(&now.digest, &before) ? "unchanged" : "changed";
}

static json_t *describe_lock(const json_t *row, const json_t *states)
{
	const char *kind = text_at(row, "kind");
	const char *path = text_at(row, "path");
	const char *state = json_get_text(states, path);
	size_t i = 0;
	while (i < KINDS && strcmp(kinds[i], kind) != 0)
		i++;
	return json_pack("{s:s, s:s, s:s}", "path", path, "kind", i < KINDS ? kind : "",
			 "state", state ? state : "unknown");
}

/* What became of each file, by its path. */
static json_t *look_at_inputs(const struct plan *plan, const json_t *made)
{
	size_t i;
	json_t *row;
	json_t *states = json_object();
	json_array_foreach(json_object_get(made, "inputs"), i, row)
	{
		const char *path = json_string_value(json_array_get(row, 0));
		if (path)
			(void)json_object_set_new(states, path,
						  json_string(state_of(plan, row)));
	}
	return states;
}

static void describe_locks(const struct plan *plan, const json_t *made, json_t *locks,
			   json_t *also)
{
	size_t i;
	json_t *row;
	json_t *state;
	const char *path;
	cleanup_json json_t *states = look_at_inputs(plan, made);
	json_array_foreach(json_object_get(made, "locks"), i, row)
	{
		(void)json_array_append_new(locks, describe_lock(row, states));
	}
	json_array_foreach(locks, i, row)
	{
		(void)json_object_del(states, json_get_text(row, "path"));
	}
	json_object_foreach(states, path, state)
	{
		const char *text = json_string_value(state);
		if (strcmp(text, "changed") == 0 || strcmp(text, "missing") == 0)
			(void)json_array_append_new(also, json_string(path));
	}
}

static void copy_texts(const json_t *from, json_t *to)
{
	size_t i;
	json_t *text;
	json_array_foreach(from, i, text)
	{
		if (json_is_string(text))
			(void)json_array_append(to, text);
	}
}

/* What others wrote is shown without what may be a secret, as what we wrote was. */
static json_t *describe_origin(const json_t *row)
{
	const char *origin = text_at(row, "origin");
	cleanup_free char *shown = strstr(origin, "://") ? url_shown(origin) : NULL;
	return json_string(shown ? shown : origin);
}

static json_t *describe_package(const struct plan_layer *layer, const json_t *wheels)
{
	char image[DIGEST_HEX_SIZE];
	digest_format(&layer->image, image);
	const json_t *row = json_object_get(wheels, image);
	const char *space = strrchr(layer->name, ' ');
	cleanup_free char *name = strndup(
	    layer->name, space ? (size_t)(space - layer->name) : strlen(layer->name));
	if (!name)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "name", name, "version",
			 space ? space + 1 : "", "file", text_at(row, "file"), "sha256",
			 text_at(row, "sha256"), "source", text_at(row, "source"),
			 "origin", describe_origin(row));
}

static int compare_layers(const void *a, const void *b)
{
	const struct plan_layer *const *x = a;
	const struct plan_layer *const *y = b;
	return strcasecmp((*x)->name, (*y)->name);
}

static int describe_packages(const struct plan *plan, const json_t *made, json_t *to)
{
	const json_t *wheels = json_object_get(made, "wheels");
	cleanup_free const struct plan_layer **sorted =
	    calloc(plan->count + 1, sizeof(const struct plan_layer *));
	size_t count = 0;
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < plan->count; i++) {
		if (!plan->layers[i].packed && !plan->layers[i].folder)
			sorted[count++] = &plan->layers[i];
	}
	qsort(sorted, count, sizeof(const struct plan_layer *), compare_layers);
	for (size_t i = 0; i < count; i++) {
		if (json_array_append_new(to, describe_package(sorted[i], wheels)) < 0)
			return -ENOMEM;
	}
	return 0;
}

json_t *made_describe(const struct state *state, const struct plan *plan)
{
	cleanup_json json_t *made = read_made(state, plan);
	cleanup_json json_t *locks = json_array();
	cleanup_json json_t *also = json_array();
	cleanup_json json_t *chosen = json_array();
	cleanup_json json_t *packages = json_array();
	describe_locks(plan, made, locks, also);
	copy_texts(json_object_get(made, "chosen"), chosen);
	if (describe_packages(plan, made, packages) < 0)
		return NULL;
	return json_pack("{s:O, s:O, s:O, s:O}", "locks", locks, "also_changed", also,
			 "chosen", chosen, "packages", packages);
}

const char *made_source_text(const char *source)
{
	static const struct {
		const char *word, *text;
	} known[] = { { "", "the cache" },    { "file", "files" },
		      { "uv", "uv's cache" }, { "pip", "pip's cache" },
		      { "url", "URLs" },      { "index", "an index" } };
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(known[i].word, source) == 0)
			return known[i].text;
	}
	return source;
}
