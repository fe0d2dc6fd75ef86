/*
 * An interpreter as lock files ask for it: markers, versions, tags. Borrows from the
 * interpreter. Immutable after target_init(): any thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/error.h"
#include "cache/base/json.h"
#include "cache/env/interpreter.h"
#include "cache/env/markers/marker.h"
#include "cache/source/wanted.h"
#include "cache/version/version.h"

struct target {
	const struct interpreter *interpreter;
	json_t *facts;
	struct marker_environment markers; /* extra is "", and there are no sets */
	struct version python;             /* 3.14.0, of a release candidate too */
	char python_text[32];
};

/* -EINVAL: the interpreter did not tell what markers ask for. */
int target_init(const struct interpreter *interpreter, struct target *ret,
		struct error *reterr);
void target_release(struct target *target);

/* Is it within a Requires-Python? 1, 0, or -EINVAL when that is none. */
int target_python_fits(const struct target *target, const char *requires_python);

/* How well a wheel of that file name fits. */
struct wheel_rank target_rank(const struct target *target, const char *file);

/* For cache/source; the target must outlive it. */
struct wanted_judge target_judge(const struct target *target);
