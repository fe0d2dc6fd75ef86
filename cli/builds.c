#include "cli/builds.h"

#include "cache/base/file.h"
#include "cache/build/build.h"
#include "cache/build/stamp.h"
#include "cache/source/url.h"
#include "cache/store/partial.h"
#include "cache/wheel/add.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "fusefs/serve/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_LINES = 20 };

void builder_release(struct builder *builder)
{
	tool_release(&builder->tool);
}

bool builder_find(const struct builder *b, const struct wanted_source *source,
		  const struct sha256 *sha256, struct build_result *ret)
{
	struct digest key;
	return build_key(source, sha256, b->interpreter, &key) == 0 &&
	       build_record_find(b->cache, &key, &ret->record, &ret->note) == 0;
}

/* -- what people see ----------------------------------------------------------------- */

struct hearing {
	const struct builder *builder;
	const char *name;
	struct buffer line; /* as far as it came */
};

static const char *tool_name(const struct builder *b)
{
	return b->tool.is_uv ? "uv" : "pip";
}

static void on_start(void *context, const char *shown)
{
	const struct hearing *h = context;
	say_note("%s is built by %s: %s", h->name, tool_name(h->builder), shown);
}

static void hear_line(struct hearing *h)
{
	const char *text = buffer_cstr(&h->line);
	if (text && *text)
		say_as(tool_name(h->builder), "%s", text);
	h->line.size = 0;
}

static void on_output(void *context, const void *bytes, size_t size)
{
	struct hearing *h = context;
	const char *text = bytes;
	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t part = end ? (size_t)(end - text) : size;
		(void)buffer_append(&h->line, text, part);
		if (end)
			hear_line(h);
		text += part + (end != NULL);
		size -= part + (end != NULL);
	}
}

/* All that was said, where it stays; NULL: nowhere. The caller frees it. */
static char *write_log(const char *name, const struct buffer *said)
{
	struct error err = ERROR_INIT;
	cleanup_free char *folder = NULL;
	cleanup_free char *file = NULL;
	if (state_make_folder("builds", &folder, &err) < 0)
		return NULL;
	cleanup_fd int fd = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	if (asprintf(&file, "%s.log", name) < 0) {
		file = NULL;
		return NULL;
	}
	return fd >= 0 && file_replace_at(fd, file, said->data, said->size, false) == 0
		   ? path_join(folder, file)
		   : NULL;
}

/* The last lines. */
static void say_end(const struct builder *b, struct buffer *said)
{
	const char *text = buffer_cstr(said);
	size_t at = text ? strlen(text) : 0;
	for (int lines = 0; at > 0 && lines <= SHOWN_LINES; at--)
		lines += text[at - 1] == '\n';
	while (text && text[at]) {
		size_t size = strcspn(text + at, "\n");
		if (size > 0)
			say_as(tool_name(b), "%.*s", (int)size, text + at);
		at += size + (text[at + size] == '\n');
	}
}

static int report(const struct builder *b, const char *name, struct buffer *said,
		  struct error *err, int code)
{
	if (code != -EPROTO)
		return say_error(err, code);
	cleanup_free char *log = write_log(name, said);
	if (log)
		(void)say_failed("%s; all that it said is in %s", error_text(err, code),
				 log);
	else
		(void)say_error(err, code);
	if (!b->verbose)
		say_end(b, said);
	return 1;
}

/* -- building ------------------------------------------------------------------------ */

struct making {
	struct builder *builder;
	const struct wanted_source *source;
	const char *file;
	struct digest key;
	int stop_fd;
	struct partial *partial;
	struct build_result result;
	struct buffer said;
	struct error err;
};

static void making_release(struct making *m)
{
	partial_remove(m->partial);
	build_record_release(&m->result.record);
	buffer_release(&m->said);
}

/* Who else builds the same is waited for. 1: that brought it; 0: we are to. */
static int take_turn(struct making *m)
{
	struct cache *cache = m->builder->cache;
	bool waited = false;
	int r;
	while ((r = partial_open(cache_own(cache), &m->key, &m->partial)) == -EBUSY) {
		struct pollfd stop = { .fd = m->stop_fd, .events = POLLIN };
		if (!waited)
			say_note("%s: another process builds it; waiting for that",
				 m->source->name);
		waited = true;
		if (poll(&stop, 1, 100) > 0)
			return -EINTR;
	}
	if (r < 0)
		return error_errno(&m->err, r, "cannot write to the cache '%s'",
				   store_path(cache_own(cache)));
	return build_record_find(cache, &m->key, &m->result.record, &m->result.note) == 0;
}

/* How a directory looks before it is built: what changes meanwhile is built again. */
static int take_stamp(struct making *m)
{
	const struct wanted_source *s = m->source;
	struct build_record *record = &m->result.record;
	if (s->kind != WANTED_DIRECTORY)
		return 0;
	record->folder = s->subdirectory ? path_join(s->path_or_url, s->subdirectory)
					 : strdup(s->path_or_url);
	int r = record->folder ? stamp_keys(record->folder, &record->keys) : -ENOMEM;
	return r == 0 ? build_record_stamp(record) : r;
}

static int run_tool(struct making *m, const char *work, struct built *ret)
{
	const struct builder *b = m->builder;
	struct hearing hearing = { .builder = b, .name = m->source->name };
	const struct build_request request = { .tool = &b->tool,
					       .settings = &b->settings,
					       .interpreter = b->interpreter,
					       .source = m->source,
					       .file = m->file,
					       .folder = b->folder,
					       .work = work,
					       .stop_fd = m->stop_fd,
					       .heard = b->verbose ? on_output : NULL,
					       .context = &hearing,
					       .starting = on_start };
	int r = build_source(&request, ret, &m->said, &m->err);
	hear_line(&hearing);
	buffer_release(&hearing.line);
	return r;
}

static int add_wheel(struct making *m, const struct built *built)
{
	struct wheel_options options = WHEEL_OPTIONS_DEFAULT;
	cleanup_free char *place = url_shown(m->source->path_or_url);
	struct wheel_job job = { .path = built->wheel, .origin = place };
	struct wheel_name name;
	options.lenient_record = m->builder->lenient;
	int r = wheel_add_many(m->builder->cache, &job, 1, &options, NULL, NULL);
	if (r < 0)
		return error_errno(&m->err, r, "cannot add wheels");
	if (job.result < 0) {
		m->err = job.err;
		return error_prefix(&m->err, job.result, "%s", m->source->name);
	}
	m->result.note = job.note;
	m->result.record.wheel = job.note.sha256;
	if (wheel_name_parse(job.note.file_name, &name, NULL) < 0 ||
	    (!m->source->unnamed && !same_name(name.distribution, m->source->name)))
		return error_set(&m->err, -EBADMSG,
				 "%s: what was built of '%s' is another project: %s",
				 m->source->name, place ? place : "it",
				 job.note.file_name);
	/* What a directory has now is what it is; of an archive the lock knows. */
	if (m->source->kind == WANTED_SDIST && m->source->version &&
	    !same_version(name.version, m->source->version))
		return error_set(
		    &m->err, -EBADMSG,
		    "%s: what was built of '%s' is version %s, and %s is wanted",
		    m->source->name, place ? place : "it", name.version,
		    m->source->version);
	return 0;
}

/* Of an archive uv's note is of where we had it. */
static void take_notes(struct making *m, struct install_notes *notes)
{
	if (m->source->kind == WANTED_DIRECTORY)
		m->result.record.notes.uv_cache = steal_ptr(notes->uv_cache);
	m->result.record.notes.uv_build = steal_ptr(notes->uv_build);
	m->result.record.notes.installer = steal_ptr(notes->installer);
}

static int build(struct making *m)
{
	CLEANUP(built_release) struct built built = { .wheel = NULL };
	cleanup_free char *work = path_join(partial_path(m->partial), "work");
	int dir = partial_dirfd(m->partial);
	/* What an earlier one left that was killed. */
	int r = work ? file_remove_tree_at(dir, "work") : -ENOMEM;
	if (r == 0)
		r = file_make_dir_at(dir, "work", 0700);
	if (r < 0)
		return error_errno(&m->err, r, "cannot write to the cache '%s'",
				   store_path(cache_own(m->builder->cache)));
	r = take_stamp(m);
	if (r == 0)
		r = run_tool(m, work, &built);
	if (r == 0)
		r = add_wheel(m, &built);
	if (r < 0)
		return r;
	take_notes(m, &built.notes);
	/* Without it the next time it is built again, and nothing else. */
	(void)build_record_save(m->builder->cache, &m->key, &m->result.record);
	return 0;
}

static int prepare(struct making *m, const struct sha256 *sha256)
{
	struct builder *b = m->builder;
	cleanup_free char *place = url_shown(m->source->path_or_url);
	int r = b->tool.path ? 0 : tool_find(b->interpreter, &b->tool, &m->err);
	if (r == 0 && m->source->kind == WANTED_GIT && b->settings.offline &&
	    !b->tool.is_uv)
		return error_set(&m->err, -ENOENT,
				 "%s is to be fetched by Git from '%s', and nothing is "
				 "fetched offline",
				 m->source->name, place ? place : "a repository");
	return r == 0 ? build_key(m->source, sha256, b->interpreter, &m->key) : r;
}

int builder_make(struct builder *b, const struct wanted_source *source, const char *file,
		 const struct sha256 *sha256, struct build_result *ret)
{
	CLEANUP(making_release)
	struct making m = { .builder = b, .source = source, .file = file };
	interrupt_explain();
	m.stop_fd = interrupt_hold();
	int r = prepare(&m, sha256);
	if (r == 0)
		r = take_turn(&m);
	if (r == 0)
		r = build(&m);
	partial_remove(steal_ptr(m.partial));
	/* What came meanwhile ends the program here. */
	interrupt_let_go(m.stop_fd);
	if (r < 0)
		return report(b, source->name, &m.said, &m.err, r);
	*ret = m.result;
	m.result = (struct build_result){ .record.folder = NULL };
	return 0;
}
