#include "cache/env/lock/target.h"

#include "cache/env/tags.h"
#include "cache/version/specifier.h"
#include "cache/wheel/wheel_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of an unfinished build Python says "3.13.0+", which is no version; packaging adds what
 * makes it one. */
static int repair_version(json_t *markers)
{
	char repaired[64];
	const char *key = marker_name(MARKER_PYTHON_FULL_VERSION);
	const char *text = json_get_text(markers, key);
	size_t size = text ? strlen(text) : 0;
	if (size == 0 || text[size - 1] != '+')
		return 0;
	(void)snprintf(repaired, sizeof(repaired), "%slocal", text);
	return json_object_set_new(markers, key, json_string(repaired)) < 0 ? -ENOMEM : 0;
}

static int take_markers(struct target *t, struct error *reterr)
{
	json_t *markers = json_object_get(t->facts, "markers");
	int r = json_is_object(markers) ? repair_version(markers) : -EINVAL;
	for (int i = 0; r == 0 && i < MARKER_EXTRA; i++) {
		const char *name = marker_name((enum marker_variable)i);
		t->markers.values[i] = json_get_text(markers, name);
		if (!t->markers.values[i])
			r = error_set(reterr, -EINVAL, "python '%s' does not say its %s",
				      t->interpreter->executable, name);
	}
	t->markers.extra = "";
	return r;
}

/*
 * As uv and pip judge Requires-Python: without what tells a release candidate from its
 * release.
 */
static int take_python(struct target *t, struct error *reterr)
{
	const char *text = t->markers.values[MARKER_PYTHON_FULL_VERSION];
	struct version v;
	if (!version_parse(text, strlen(text), &v) || v.count < 2)
		return error_set(reterr, -EINVAL, "python '%s' is of no version",
				 t->interpreter->executable);
	t->python = (struct version){ .count = v.count, .pre = VERSION_FINAL };
	memcpy(t->python.release, v.release, sizeof(v.release));
	(void)snprintf(t->python_text, sizeof(t->python_text), "%llu.%llu.%llu",
		       (unsigned long long)v.release[0], (unsigned long long)v.release[1],
		       (unsigned long long)v.release[2]);
	return 0;
}

int target_init(const struct interpreter *interpreter, struct target *ret,
		struct error *reterr)
{
	struct target t = { .interpreter = interpreter };
	int r =
	    json_parse_object(interpreter->facts, strlen(interpreter->facts), &t.facts);
	if (r == 0)
		r = take_markers(&t, reterr);
	if (r == 0)
		r = take_python(&t, reterr);
	if (r < 0) {
		target_release(&t);
		return r;
	}
	*ret = t;
	return 0;
}

void target_release(struct target *target)
{
	json_decref(target->facts);
	*target = (struct target){ .facts = NULL };
}

int target_python_fits(const struct target *target, const char *requires_python)
{
	return specifiers_match(requires_python, &target->python, target->python_text);
}

/* "1build" is 1 and "build". */
static void take_build(const char *build, struct wheel_rank *rank)
{
	const char *p = build;
	for (; isdigit((unsigned char)*p); p++) {
		uint64_t digit = (uint64_t)(*p - '0');
		if (rank->build <= (UINT64_MAX - digit) / 10)
			rank->build = rank->build * 10 + digit;
	}
	(void)snprintf(rank->build_rest, sizeof(rank->build_rest), "%s", p);
}

struct wheel_rank target_rank(const struct target *target, const char *file)
{
	struct wheel_name name;
	char tag[256];
	struct wheel_rank rank = { .tags = -1 };
	if (wheel_name_parse(file, &name, NULL) < 0)
		return rank;
	(void)snprintf(tag, sizeof(tag), "%s-%s-%s", name.python, name.abi,
		       name.platform);
	rank.tags = tag_rank(target->interpreter, tag);
	take_build(name.build, &rank);
	return rank;
}

static struct wheel_rank judge_rank(const void *context, const char *file)
{
	return target_rank(context, file);
}

static bool judge_python(const void *context, const char *requires_python)
{
	return target_python_fits(context, requires_python) != 0;
}

struct wanted_judge target_judge(const struct target *target)
{
	return (struct wanted_judge){ .rank = judge_rank,
				      .python_fits = judge_python,
				      .context = target };
}
