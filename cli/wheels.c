#include "cli/wheels.h"

#include "cli/output.h"
#include "cli/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show_progress(void *context, const struct wheel_job *job, size_t done,
			  size_t count)
{
	const char *slash = strrchr(job->path, '/');
	progress_show(context, done, count, slash ? slash + 1 : job->path);
}

static int report(struct wheel_args *args, bool verbose)
{
	int status = 0;
	for (size_t i = 0; i < args->count; i++) {
		struct wheel_job *job = &args->jobs[i];
		if (job->result < 0)
			status = say_error(&job->err, job->result);
		else if (verbose)
			say_note("%s: %s", job->path,
				 job->was_known ? "cached" : "added");
	}
	return status;
}

int wheels_add(struct cache *cache, char **paths, size_t count, bool lenient,
	       bool verbose, struct wheel_args *ret)
{
	struct wheel_options options = WHEEL_OPTIONS_DEFAULT;
	struct progress progress = { .visible = false };
	options.lenient_record = lenient;
	ret->jobs = calloc(count + 1, sizeof(*ret->jobs));
	if (!ret->jobs)
		return say_failed("%s", strerror(ENOMEM));
	ret->count = count;
	for (size_t i = 0; i < count; i++)
		ret->jobs[i].path = paths[i];
	int r =
	    wheel_add_many(cache, ret->jobs, count, &options, show_progress, &progress);
	if (r < 0)
		return say_failed("cannot add wheels: %s", strerror(-r));
	return report(ret, verbose);
}

bool is_wheel_name(const char *text)
{
	size_t size = strlen(text);
	return size > 4 && strcmp(text + size - 4, ".whl") == 0;
}

void wheel_args_release(struct wheel_args *args)
{
	free(args->jobs);
	*args = (struct wheel_args){ .jobs = NULL };
}
