#include "cache/build/build.h"

#include "cache/base/file.h"
#include "cache/build/templates.h"
#include "cache/source/url.h"
#include "cache/wheel/wheel_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SAID = 16 << 20, REPACK_SECONDS = 3600, LARGEST_ANSWER = 1 << 20 };

void built_release(struct built *built)
{
	free(built->wheel);
	install_notes_release(&built->notes);
	*built = (struct built){ .wheel = NULL };
}

static int append_place(struct buffer *out, const char *path_or_url, bool shown)
{
	if (path_or_url[0] == '/')
		return path_append_url(out, path_or_url);
	return shown ? url_append_shown(out, path_or_url)
		     : buffer_append_text(out, path_or_url);
}

/* Older pips take no "name @ git+file:". */
static int spell_git(const struct build_request *q, bool shown, struct buffer *out)
{
	const struct wanted_source *s = q->source;
	bool uv = q->tool->is_uv;
	int r = uv && !s->unnamed ? buffer_printf(out, "%s @ git+", s->name)
				  : buffer_append_text(out, "git+");
	if (r == 0)
		r = append_place(out, s->path_or_url, shown);
	if (r == 0)
		r = buffer_printf(out, "@%s", s->commit);
	bool egg = !uv && !s->unnamed;
	if (r == 0 && egg)
		r = buffer_printf(out, "#egg=%s", s->name);
	return r == 0 && s->subdirectory ? buffer_printf(out, "%csubdirectory=%s",
							 egg ? '&' : '#', s->subdirectory)
					 : r;
}

/* As uv and pip take it; `shown`: without what may be a secret. */
static int spell_source(const struct build_request *q, bool shown, struct buffer *out)
{
	const struct wanted_source *s = q->source;
	const char *below = s->subdirectory;
	int r = 0;
	switch (s->kind) {
	case WANTED_DIRECTORY:
		r = buffer_append_text(out, s->path_or_url);
		return r == 0 && below ? buffer_printf(out, "/%s", below) : r;
	case WANTED_SDIST:
		if (!s->unnamed)
			r = buffer_printf(out, "%s @ ", s->name);
		if (r == 0)
			r = append_place(out, q->file, shown);
		return r == 0 && below ? buffer_printf(out, "#subdirectory=%s", below)
				       : r;
	case WANTED_GIT:
		return spell_git(q, shown, out);
	}
	return -EINVAL;
}

static const char *build_tag(const struct wanted_source *source)
{
	if (source->kind == WANTED_DIRECTORY)
		return source->editable ? WHEEL_BUILD_EDITABLE : WHEEL_BUILD_LOCAL;
	return "";
}

/* What is meant for the user's own environments, and what no source has. */
static const char *settings_off(const struct tool *tool)
{
	return tool->is_uv ? "UV_REQUIRE_HASHES=0" : "PIP_REQUIRE_VIRTUALENV=0";
}

static int run_tool(const struct build_request *q, const char *prefix,
		    struct buffer *said, struct error *reterr)
{
	CLEANUP(words_of_release) struct words_of words = { .items = NULL };
	cleanup_buffer struct buffer source = BUFFER_INIT;
	cleanup_buffer struct buffer plain = BUFFER_INIT;
	cleanup_free char *shown = NULL;
	int r = spell_source(q, false, &source);
	if (r == 0)
		r = spell_source(q, true, &plain);
	const char *text = r == 0 ? buffer_cstr(&source) : NULL;
	const struct tool_task task = { .interpreter = q->interpreter,
					.settings = q->settings,
					.source = text,
					.shown = buffer_cstr(&plain),
					.prefix = prefix,
					.editable = q->source->editable };
	r = text && task.shown ? tool_spell(q->tool, &task, &words, &shown) : -ENOMEM;
	if (r < 0)
		return r;
	if (q->starting)
		q->starting(q->context, shown);
	const struct run run = { .argv = (const char *const *)words.items,
				 .limit = MOST_SAID,
				 .both = true,
				 .tail = true,
				 .stop_fd = q->stop_fd,
				 .folder = q->folder,
				 .variable = settings_off(q->tool),
				 .heard = q->heard,
				 .context = q->context };
	int status = run_program(&run, said);
	if (status == -EINTR)
		return status;
	if (status < 0)
		return error_errno(reterr, status, "%s: '%s' cannot be run",
				   q->source->name, shown);
	return status == 0 ? 0
			   : error_set(reterr, -EPROTO, "%s: '%s' ended with status %d",
				       q->source->name, shown, status);
}

static int take_answer(const struct buffer *answer, struct built *ret)
{
	cleanup_json json_t *value = NULL;
	CLEANUP(built_release) struct built built = { .wheel = NULL };
	int r = json_parse_object(answer->data, answer->size, &value);
	const char *path = json_get_text(value, "path");
	if (r < 0 || !path)
		return -EBADMSG;
	built.wheel = strdup(path);
	r = built.wheel ? 0 : -ENOMEM;
	if (r == 0)
		r = json_copy_text(value, "uv_cache", &built.notes.uv_cache);
	if (r == 0)
		r = json_copy_text(value, "uv_build", &built.notes.uv_build);
	if (r == 0)
		r = json_copy_text(value, "installer", &built.notes.installer);
	if (r < 0)
		return r;
	*ret = built;
	built = (struct built){ .wheel = NULL };
	return 0;
}

static int repack(const struct build_request *q, const char *prefix, struct built *ret,
		  struct buffer *said, struct error *reterr)
{
	cleanup_buffer struct buffer answer = BUFFER_INIT;
	cleanup_free char *script =
	    strndup((const char *)template_repack_py, template_repack_py_size);
	if (!script)
		return -ENOMEM;
	const char *const argv[] = {
		q->interpreter->executable, "-I", "-c", script, prefix, q->work,
		build_tag(q->source),       NULL
	};
	const struct run run = { .argv = argv,
				 .seconds = REPACK_SECONDS,
				 .limit = LARGEST_ANSWER,
				 .both = true,
				 .stop_fd = q->stop_fd };
	int status = run_program(&run, &answer);
	int r = status == 0 ? take_answer(&answer, ret) : status;
	if (r == 0 || r == -EINTR)
		return r;
	(void)buffer_append(said, answer.data, answer.size);
	return error_set(reterr, -EPROTO, "%s: what was built cannot be made a wheel",
			 q->source->name);
}

int build_source(const struct build_request *q, struct built *ret, struct buffer *said,
		 struct error *reterr)
{
	cleanup_free char *prefix = path_join(q->work, "prefix");
	if (!prefix)
		return -ENOMEM;
	int r = run_tool(q, prefix, said, reterr);
	return r < 0 ? r : repack(q, prefix, ret, said, reterr);
}
