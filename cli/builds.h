/*
 * What has no wheel is built by the user's uv or pip, once; which was run, and what it
 * said when it failed, is told. One thread.
 */
#pragma once

#include "cache/build/record.h"
#include "cache/build/tool.h"
#include "cache/store/cache.h"

struct builder {
	struct cache *cache;
	const struct interpreter *interpreter;
	const char *folder; /* where the tool is run; NULL: here */
	struct tool_settings settings;
	bool lenient, verbose;
	struct tool tool; /* found when it is first needed */
};
void builder_release(struct builder *builder);

/* What came of it. */
struct build_result {
	struct wheel_note note;
	struct build_record record;
};

/* Was it built before, and is that right still? `sha256`: of an sdist. */
bool builder_find(const struct builder *builder, const struct wanted_source *source,
		  const struct sha256 *sha256, struct build_result *ret);
/* Builds it; `file`: where an sdist lies. Says what failed. Exit status. */
int builder_make(struct builder *builder, const struct wanted_source *source,
		 const char *file, const struct sha256 *sha256, struct build_result *ret);
