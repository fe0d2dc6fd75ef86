/*
 * A source built by the user's uv or pip, into a wheel file. The tool installs it below a
 * folder of its own, as it would into an environment, and what came is made a wheel
 * again: so an editable is what the tool makes of one, and all that its settings say
 * holds. One thread.
 */
#pragma once

#include "cache/base/run.h"
#include "cache/build/record.h"
#include "cache/build/tool.h"

struct build_request {
	const struct tool *tool;
	const struct tool_settings *settings;
	const struct interpreter *interpreter;
	const struct wanted_source *source;
	const char *file;   /* of an sdist: where it lies */
	const char *folder; /* where the tool is run, whose settings count */
	const char *work;   /* an empty folder for what comes */
	int stop_fd;        /* as in struct run */
	run_heard *heard;   /* or NULL */
	void *context;
	/* Before the tool is started: the command as people may see it. */
	void (*starting)(void *context, const char *shown);
};

struct built {
	char *wheel; /* path of the file, below `work` */
	struct install_notes notes;
};
void built_release(struct built *built);

/*
 * `said`: all that the tool said is appended, up to some megabytes of it. -EINTR: it was
 * stopped. -EPROTO: it failed; the text says what was run and how it ended.
 */
int build_source(const struct build_request *q, struct built *ret, struct buffer *said,
		 struct error *reterr);
