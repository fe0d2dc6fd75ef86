#include "cli/sources.h"

#include "cache/source/url.h"
#include "cache/store/partial.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/python.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void source_options_release(struct source_options *o)
{
	text_list_release(&o->extra_indexes);
	text_list_release(&o->find_links);
}

static char *unconst(const char *text)
{
	union {
		const char *in;
		char *out;
	} both = { .in = text };
	return both.out;
}

int source_settings_make(const struct source_options *options,
			 const struct wanted_indexes *file, struct source_settings *ret)
{
	struct error err = ERROR_INIT;
	const size_t extra_count = options->extra_indexes.count;
	const size_t find_count = options->find_links.count;
	struct wanted_indexes said = { .extra_count = extra_count + file->extra_count,
				       .find_count = find_count + file->find_count,
				       .no_index = file->no_index };
	/* Borrowed: nobody changes or frees them. */
	said.index_url =
	    options->index_url ? unconst(options->index_url) : file->index_url;
	cleanup_free char **extra = calloc(said.extra_count + 1, sizeof(*extra));
	cleanup_free char **find = calloc(said.find_count + 1, sizeof(*find));
	if (!extra || !find)
		return say_failed("%s", strerror(ENOMEM));
	for (size_t i = 0; i < said.extra_count; i++)
		extra[i] = i < extra_count ? unconst(options->extra_indexes.items[i])
					   : file->extra_urls[i - extra_count];
	for (size_t i = 0; i < said.find_count; i++)
		find[i] = i < find_count ? unconst(options->find_links.items[i])
					 : file->find_links[i - find_count];
	said.extra_urls = extra;
	said.find_links = find;
	int r = source_settings_read(".", &said, ret, &err);
	if (r < 0)
		return say_error(&err, r);
	ret->offline = ret->offline || options->offline;
	return 0;
}

bool is_source_operand(const char *text)
{
	return url_is_http(text) ||
	       (strstr(text, "==") && !strchr(text, '/') && access(text, F_OK) < 0);
}

/* What is told while wheels are brought. */
struct telling {
	struct progress bar;
	const struct source_get *get;
};

static void show_progress(void *context, const struct source_progress *p)
{
	struct telling *telling = context;
	char bytes[24];
	char total[24];
	char what[64];
	format_size(p->bytes, bytes);
	format_size(p->total, total);
	(void)snprintf(what, sizeof(what), "%s of %s", bytes, total);
	const struct progress_of of = { p->done, p->count, p->bytes, p->total, what };
	progress_show_part(&telling->bar, &of);
}

static void say_wait(void *context, const char *line)
{
	struct telling *telling = context;
	progress_hide(&telling->bar);
	say_note("%s", line);
}

/* "demo==1.0"; spaces around are fine. */
static int parse_pin(const char *text, struct wanted_dist *ret)
{
	const char *equals = strstr(text, "==");
	char name[256];
	char normal[256];
	size_t size = (size_t)(equals - text);
	while (size > 0 && text[size - 1] == ' ')
		size--;
	(void)snprintf(name, sizeof(name), "%.*s", (int)size, text);
	const char *version = equals + 2 + strspn(equals + 2, " =");
	if (size == 0 || size >= sizeof(name) || !*version ||
	    strcspn(version, " ,;*[<>") != strlen(version) || strpbrk(name, "[ "))
		return say_failed("'%s' is no name==version", text);
	normalise_name(name, normal, sizeof(normal));
	ret->pinned = true;
	ret->exact = equals[2] == '=';
	ret->no_sdist = true; /* nothing is built here */
	ret->name = strdup(normal);
	ret->version = strdup(version);
	return ret->name && ret->version ? 0 : say_failed("%s", strerror(ENOMEM));
}

/* "https://host/demo-1.0-py3-none-any.whl#sha256=..." */
static int parse_url(const char *text, struct wanted_dist *ret)
{
	struct error err = ERROR_INIT;
	struct wheel_name parts;
	cleanup_free char *shown = url_shown(text);
	struct wanted_wheel *w = calloc(1, sizeof(*w));
	if (!shown || !w) {
		free(w);
		return say_failed("%s", strerror(ENOMEM));
	}
	ret->wheels = w;
	ret->wheel_count = 1;
	ret->direct = true;
	w->bytes.size = -1;
	w->file = url_file_name(text);
	if (!w->file || wheel_name_parse(w->file, &parts, &err) < 0)
		return say_failed("%s: this is no URL of a wheel (*.whl)", shown);
	if (url_split_hash(text, &w->url, &w->bytes.has_sha256, &w->bytes.sha256) < 0)
		return say_failed("%s: what stands behind #sha256= is no sha256", shown);
	char name[256];
	normalise_name(parts.distribution, name, sizeof(name));
	w->name = strdup(name);
	w->version = strdup(parts.version);
	ret->name = strdup(name);
	ret->version = strdup(parts.version);
	return w->name && w->version && ret->name && ret->version
		   ? 0
		   : say_failed("%s", strerror(ENOMEM));
}

static void report_found(const struct source_job *job)
{
	static const char *const words[] = {
		[SOURCE_CACHE] = "cached",
		[SOURCE_FILE] = "added",
		[SOURCE_LINKS] = "added",
		[SOURCE_UV] = "taken from uv's cache",
		[SOURCE_PIP] = "taken from pip's cache",
		[SOURCE_URL] = "fetched",
		[SOURCE_INDEX] = "fetched",
	};
	const char *name = job->is_sdist ? job->wanted->name : job->note.file_name;
	if (job->is_sdist && !job->file)
		say_note("%s: %s", name, job->place ? "not built" : "built before");
	else if (job->place)
		say_note("%s: %s, %s", name, words[job->kind], job->place);
	else
		say_note("%s: %s", name, words[job->kind]);
}

void source_sdist_release(struct source_sdist *sdist, bool keep)
{
	free(sdist->file);
	free(sdist->place);
	if (keep)
		partial_free(sdist->held);
	else
		partial_remove(sdist->held);
	*sdist = (struct source_sdist){ .file = NULL };
}

static void hand_over_sdist(struct source_job *job, struct source_sdist *to)
{
	*to = (struct source_sdist){ .is_there = true,
				     .sha256 = job->sha256,
				     .file = steal_ptr(job->file),
				     .place = steal_ptr(job->place),
				     .held = steal_ptr(job->held) };
}

static int report(struct source_job *jobs, size_t count, bool verbose)
{
	int status = 0;
	for (size_t i = 0; i < count; i++) {
		if (jobs[i].result < 0)
			status = say_error(&jobs[i].err, jobs[i].result);
		else if (verbose)
			report_found(&jobs[i]);
	}
	return status;
}

/* What a name and version alone cannot tell, an interpreter does. */
static int take_judge(struct cache *cache, const struct source_add *add,
		      const struct wanted_dist *dists, size_t count,
		      struct interpreter **python, struct target *target)
{
	struct error err = ERROR_INIT;
	bool pinned = false;
	for (size_t i = 0; i < count; i++)
		pinned = pinned || dists[i].pinned;
	int r = pinned ? python_find(cache_own(cache), add->python, python, &err) : 0;
	if (r == 0 && pinned)
		r = target_init(*python, target, &err);
	return r < 0 ? say_error(&err, r) : 0;
}

static bool ask_built(void *context, const struct wanted_dist *dist,
		      const struct sha256 *sha256)
{
	const struct telling *telling = context;
	return telling->get->is_built(telling->get->context, dist, sha256);
}

int sources_get(struct cache *cache, const struct source_settings *settings,
		const struct source_get *get)
{
	struct error err = ERROR_INIT;
	struct telling telling = { .get = get };
	struct wheel_options wheel_options = WHEEL_OPTIONS_DEFAULT;
	struct wanted_judge judge = target_judge(get->target);
	struct source_request request = { .cache = cache,
					  .settings = settings,
					  .judge = &judge,
					  .options = &wheel_options,
					  .progress = show_progress,
					  .no_build = get->no_build,
					  .is_built = get->is_built ? ask_built : NULL,
					  .say = say_wait,
					  .context = &telling };
	cleanup_free struct source_job *jobs = calloc(get->count + 1, sizeof(*jobs));
	if (!jobs)
		return say_failed("%s", strerror(ENOMEM));
	wheel_options.lenient_record = get->lenient;
	for (size_t i = 0; i < get->count; i++)
		jobs[i].wanted = &get->dists[i];
	interrupt_explain();
	int r = source_get_many(&request, jobs, get->count, &err);
	progress_hide(&telling.bar);
	interrupt_explain_no_more();
	int status = r < 0 ? say_error(&err, r) : report(jobs, get->count, get->verbose);
	for (size_t i = 0; i < get->count; i++) {
		if (get->ret_notes)
			get->ret_notes[i] = jobs[i].note;
		if (get->ret_sdists && jobs[i].is_sdist && jobs[i].result == 0)
			hand_over_sdist(&jobs[i], &get->ret_sdists[i]);
		source_job_release(&jobs[i]);
	}
	return status;
}

static int get_all(struct cache *cache, const struct source_add *add,
		   const struct source_settings *settings,
		   const struct wanted_dist *dists, size_t count)
{
	CLEANUP(interpreter_freep) struct interpreter *python = NULL;
	CLEANUP(target_release) struct target target = { .interpreter = NULL };
	int status = take_judge(cache, add, dists, count, &python, &target);
	const struct source_get get = { .dists = dists,
					.count = count,
					.target = &target,
					.lenient = add->lenient,
					.verbose = add->verbose,
					.ret_notes = add->ret_notes };
	return status ? status : sources_get(cache, settings, &get);
}

int sources_add(struct cache *cache, const struct source_add *add,
		const struct source_options *options)
{
	if (add->count == 0)
		return 0;
	CLEANUP(source_settings_release)
	struct source_settings settings = { .offline = true };
	cleanup_free struct wanted_dist *dists = calloc(add->count, sizeof(*dists));
	if (!dists)
		return say_failed("%s", strerror(ENOMEM));
	const struct wanted_indexes nothing = { .index_url = NULL };
	int status = source_settings_make(options, &nothing, &settings);
	size_t count = 0;
	int wrong = 0;
	for (size_t i = 0; status == 0 && i < add->count; i++) {
		const char *text = add->operands[i];
		int bad = url_is_http(text) ? parse_url(text, &dists[count])
					    : parse_pin(text, &dists[count]);
		if (bad)
			wanted_dist_release(&dists[count]);
		else
			count++;
		wrong = bad ? bad : wrong;
	}
	if (status == 0)
		status = get_all(cache, add, &settings, dists, count);
	for (size_t i = 0; i < count; i++)
		wanted_dist_release(&dists[i]);
	return status ? status : wrong;
}
