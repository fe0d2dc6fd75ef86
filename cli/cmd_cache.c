#include "cache/store/cache.h"
#include "cache/store/lease.h"
#include "cache/store/verify.h"
#include "cli/behalf.h"
#include "cli/commands.h"
#include "cli/folders.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/sources.h"
#include "cli/wheels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct cache_options {
	const char *user;
	bool json, verbose, lenient;
	const char *python;
	struct source_options source;
};

#define OFFSET(field) offsetof(struct cache_options, field)
#define SOURCE_OFFSET(field) offsetof(struct cache_options, source.field)

/* Opens the caches of whom it is for, and says which of VENVFS_CACHE_PATH were passed
 * over. */
static int open_cache(const char *user, struct cache **ret)
{
	struct error err = ERROR_INIT;
	int status = behalf_become(user);
	if (status != 0)
		return status;
	int r = cache_open(ret, &err);
	if (r < 0)
		return say_error(&err, r);
	say_lines("VENVFS_CACHE_PATH", cache_skipped(*ret));
	return 0;
}

static const struct option_spec add_options[] = {
	{ "lenient-record", 0, OPTION_FLAG, OFFSET(lenient), NULL,
	  "take old wheels whose RECORD lists more or less than there is" },
	{ "python", 'p', OPTION_TEXT, OFFSET(python), "PYTHON",
	  "the interpreter that name==version is to fit" },
	SOURCE_OPTION_SPECS(SOURCE_OFFSET),
	{ "verbose", 'v', OPTION_FLAG, OFFSET(verbose), NULL,
	  "a line for each wheel and folder" },
	BEHALF_OPTION(struct cache_options),
	{ .name = NULL },
};

static bool is_folder(const char *path)
{
	struct stat st;
	return !is_wheel_name(path) && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int add_folders(struct cache *cache, const char *const *paths, size_t count,
		       bool verbose)
{
	CLEANUP(folder_args_release) struct folder_args folders = { .count = 0 };
	int status = folders_add(cache, paths, count, verbose, &folders);
	/* What was added before one that failed is there all the same. */
	for (size_t i = 0; i < folders.count; i++) {
		const struct folder_note *note = &folders.added[i].note;
		char image[DIGEST_HEX_SIZE];
		char size[24];
		digest_format(&note->image, image);
		format_size(note->size, size);
		printf("%s: image %s, %llu entries, %s\n", note->path, image,
		       (unsigned long long)note->entries, size);
	}
	return status;
}

/* Folders are told from wheel files by looking, unless they are called so. */
static int add_operands(struct cache *cache, const struct cache_options *o, char **paths,
			size_t count)
{
	cleanup_free char **wheels = calloc(count + 1, sizeof(*wheels));
	cleanup_free char **fetched = calloc(count + 1, sizeof(*fetched));
	cleanup_free const char **folders = calloc(count + 1, sizeof(*folders));
	struct source_add add = { .operands = fetched,
				  .python = o->python,
				  .lenient = o->lenient,
				  .verbose = o->verbose };
	size_t wheel_count = 0;
	size_t folder_count = 0;
	if (!wheels || !folders || !fetched)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < count; i++) {
		if (is_source_operand(paths[i]))
			fetched[add.count++] = paths[i];
		else if (is_folder(paths[i]))
			folders[folder_count++] = paths[i];
		else
			wheels[wheel_count++] = paths[i];
	}
	CLEANUP(wheel_args_release) struct wheel_args args = { .count = 0 };
	int status =
	    wheels_add(cache, wheels, wheel_count, o->lenient, o->verbose, &args);
	int other = add_folders(cache, folders, folder_count, o->verbose);
	int last = sources_add(cache, &add, &o->source);
	return status ? status : other ? other : last;
}

static void release_options(struct cache_options *o)
{
	source_options_release(&o->source);
}

static int run_add(const struct command *command, int argc, char **argv)
{
	CLEANUP(release_options) struct cache_options o = { .json = false };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (first == argc)
		return options_wrong_usage(command, "which wheels or folders?");
	CLEANUP(cache_freep) struct cache *cache = NULL;
	status = open_cache(o.user, &cache);
	if (status != 0)
		return status;
	CLEANUP(lease_freep) struct lease *lease = NULL;
	int r = lease_take(cache_own(cache), "cache add", &lease);
	if (r < 0)
		return say_failed("cannot write to the cache '%s': %s",
				  store_path(cache_own(cache)), strerror(-r));
	return add_operands(cache, &o, argv + first, (size_t)(argc - first));
}

struct lister {
	struct table *table; /* or ... */
	json_t *array;       /* ... this */
	struct store *store;
};

static int list_wheel(void *context, const struct wheel_note *note)
{
	struct lister *l = context;
	char sha256[SHA256_HEX_SIZE];
	char image[DIGEST_HEX_SIZE];
	char size[24];
	sha256_format(&note->sha256, sha256);
	digest_format(&note->image, image);
	format_size(note->size, size);
	if (l->table) {
		table_add(l->table, note->file_name);
		table_add(l->table, size);
		table_add(l->table, sha256);
		return 0;
	}
	json_t *row = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "kind", "wheel",
				"name", note->file_name, "size", (json_int_t)note->size,
				"sha256", sha256, "image", image, "origin", note->origin,
				"cache", store_path(l->store));
	return row && json_array_append_new(l->array, row) == 0 ? 0 : -ENOMEM;
}

/* A folder has no sha256: its row of the table says so. */
static int list_folder(void *context, const struct folder_note *note)
{
	struct lister *l = context;
	char image[DIGEST_HEX_SIZE];
	char size[24];
	digest_format(&note->image, image);
	format_size(note->size, size);
	if (l->table) {
		table_add(l->table, note->path);
		table_add(l->table, size);
		table_add(l->table, "-");
		return 0;
	}
	json_t *row = json_pack("{s:s, s:s, s:I, s:I, s:s, s:s}", "kind", "folder",
				"name", note->path, "size", (json_int_t)note->size,
				"entries", (json_int_t)note->entries, "image", image,
				"cache", store_path(l->store));
	return row && json_array_append_new(l->array, row) == 0 ? 0 : -ENOMEM;
}

static const struct option_spec list_options[] = {
	{ "json", 0, OPTION_FLAG, OFFSET(json), NULL, "print JSON" },
	BEHALF_OPTION(struct cache_options),
	{ .name = NULL },
};

static int run_list(const struct command *command, int argc, char **argv)
{
	struct cache_options o = { .json = false };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (first != argc)
		return options_wrong_usage(command, "it takes no arguments");
	CLEANUP(cache_freep) struct cache *cache = NULL;
	status = open_cache(o.user, &cache);
	if (status != 0)
		return status;
	CLEANUP(table_freep) struct table *table = o.json ? NULL : table_new(3);
	cleanup_json json_t *array = o.json ? json_array() : NULL;
	if (!table && !array)
		return say_failed("%s", strerror(ENOMEM));
	if (table) {
		table_add(table, "WHEEL OR FOLDER");
		table_add(table, "SIZE");
		table_add(table, "SHA256");
	}
	for (size_t i = 0; i < cache_count(cache); i++) {
		struct lister l = { table, array, cache_store(cache, i) };
		int r = store_each_wheel(l.store, list_wheel, &l);
		if (r == 0)
			r = store_each_folder(l.store, list_folder, &l);
		if (r < 0)
			return say_failed("cannot list the cache '%s': %s",
					  store_path(l.store), strerror(-r));
	}
	if (array)
		return print_json(array);
	table_print(table);
	return 0;
}

static void print_bad(void *context, const char *line)
{
	progress_hide(context);
	say_note("%s", line);
}

static void show_verified(void *context, uint64_t done, uint64_t count, const char *name)
{
	progress_show(context, (size_t)done, (size_t)count, name);
}

static void print_verified(const struct store *store, const struct verify_result *result)
{
	char size[24];
	format_size(result->bytes, size);
	printf("%s: %llu wheels, ", store_path(store),
	       (unsigned long long)result->wheels);
	if (result->folders)
		printf("%llu folders, ", (unsigned long long)result->folders);
	printf("%llu images, %llu objects, %s: %s\n", (unsigned long long)result->images,
	       (unsigned long long)result->objects, size,
	       result->bad ? "damaged" : "all right");
}

static int append_verified(json_t *array, const struct store *store,
			   const struct verify_result *result)
{
	json_t *row = json_pack(
	    "{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "cache", store_path(store), "wheels",
	    (json_int_t)result->wheels, "folders", (json_int_t)result->folders, "images",
	    (json_int_t)result->images, "objects", (json_int_t)result->objects, "size",
	    (json_int_t)result->bytes, "damaged", (json_int_t)result->bad);
	return json_array_append_new(array, row);
}

/* `array` NULL: a line is printed instead. */
static int verify_store(struct store *store, json_t *array)
{
	struct verify_result result;
	struct progress progress = { .visible = false };
	int r = store_verify(store, print_bad, show_verified, &progress, &result);
	progress_hide(&progress);
	if (r < 0)
		return say_failed("cannot verify the cache '%s': %s", store_path(store),
				  strerror(-r));
	if (!array)
		print_verified(store, &result);
	else if (append_verified(array, store, &result) < 0)
		return say_failed("%s", strerror(ENOMEM));
	if (result.bad)
		return say_failed("%llu damaged; add the wheels and folders again to "
				  "replace what is damaged",
				  (unsigned long long)result.bad);
	return 0;
}

static const struct option_spec user_options[] = {
	BEHALF_OPTION(struct cache_options),
	{ .name = NULL },
};
static const struct option_spec no_options[] = { { .name = NULL } };

static int run_verify(const struct command *command, int argc, char **argv)
{
	struct cache_options o = { .json = false };
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (first != argc)
		return options_wrong_usage(command, "it takes no arguments");
	CLEANUP(cache_freep) struct cache *cache = NULL;
	status = open_cache(o.user, &cache);
	if (status != 0)
		return status;
	cleanup_json json_t *array = o.json ? json_array() : NULL;
	if (o.json && !array)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < cache_count(cache); i++)
		status |= verify_store(cache_store(cache, i), array);
	return array ? print_json(array) | status : status;
}

static int run_dir(const struct command *command, int argc, char **argv)
{
	struct cache_options o = { .json = false };
	struct error err = ERROR_INIT;
	int first;
	int status = options_parse(command, argc, argv, &o, &first);
	if (status >= 0)
		return status;
	if (first != argc)
		return options_wrong_usage(command, "it takes no arguments");
	cleanup_free char *path = NULL;
	status = behalf_become(o.user);
	if (status != 0)
		return status;
	int r = cache_own_path(&path, &err);
	if (r < 0)
		return say_error(&err, r);
	printf("%s\n", path);
	return 0;
}

static const struct command verbs[] = {
	{ "cache add", "WHEEL|URL|NAME==VERSION|FOLDER...",
	  "take wheels and folders into the cache",
	  "Unpacks wheel files into the cache, several at once; what is there already is not\n"
	  "unpacked again. Each file is checked against RECORD. URLs (with #sha256=... behind, if\n"
	  "it is known) and NAME==VERSION are looked for in uv's and pip's caches, too, before they\n"
	  "are fetched. A folder is read as it stands: modes, owners, times, symlinks, hard links\n"
	  "and user attributes; its image is printed.",
	  add_options, run_add, NULL },
	{ "cache list", "", "the wheels and folders that are in the cache",
	  "Lists the wheels and folders that are in the cache and in those of\n"
	  "VENVFS_CACHE_PATH.",
	  list_options, run_list, NULL },
	{ "cache verify", "", "read and check everything in the cache",
	  "Reads all images and objects and checks each byte; exit status 1 when one is damaged.",
	  list_options, run_verify, NULL },
	{ "cache dir", "", "where the cache is", "Prints the directory of the cache.",
	  user_options, run_dir, NULL },
	{ .name = NULL },
};

static int run_cache(const struct command *command, int argc, char **argv)
{
	return options_run_subcommand(command, argc, argv);
}

const struct command command_cache = {
	"cache",
	"VERB",
	"add to, list and verify the cache of unpacked wheels",
	"The cache of unpacked wheels: one for all environments of a user.",
	no_options,
	run_cache,
	verbs
};
