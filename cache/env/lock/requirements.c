/*
 * Requirements files whose lines name one version each. What is not pinned would have to
 * be resolved, which is uv's and pip's job.
 */
#include "cache/env/lock/requirement_direct.h"

#include "cache/base/shown.h"
#include "cache/env/markers/requirement.h"
#include "cache/version/specifier.h"
#include "cache/wheel/wheel_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int refuse(const struct reading *r, const struct requirement_line *line,
		  const char *why)
{
	cleanup_free char *shown = text_shown(line->text);
	return error_set(r->reterr, -EINVAL, "'%s', line %u: '%.200s' %s", line->file,
			 line->line, shown ? shown : "", why);
}

static int prefix(const struct reading *r, const struct requirement_line *line,
		  int result)
{
	return error_prefix(r->reterr, result, "'%s', line %u", line->file, line->line);
}

/* A constraint that holds here, and the line that it was read from. */
struct constraint {
	struct requirement requirement;
	const struct requirement_line *line;
};

struct constraints {
	struct constraint *items;
	size_t count;
};

static void constraints_release(struct constraints *c)
{
	for (size_t i = 0; i < c->count; i++)
		requirement_release(&c->items[i].requirement);
	free(c->items);
}

static int parse(const struct reading *r, const struct requirement_line *line,
		 struct requirement *ret)
{
	int result = requirement_parse(line->text, ret, r->reterr);
	return result < 0 ? prefix(r, line, result) : 0;
}

static int add_constraint(const struct reading *r, const struct requirement_line *line,
			  struct constraints *to)
{
	struct requirement requirement;
	int result = requirement_is_place(line->text)
			 ? refuse(r, line, "has no name, so it is no constraint")
			 : parse(r, line, &requirement);
	if (result < 0)
		return result;
	int holds = fill_marker(r, &r->target->markers, requirement.marker);
	struct constraint *more =
	    realloc(to->items, (to->count + 1) * sizeof(*to->items));
	if (more)
		to->items = more;
	if (holds <= 0 || !more) {
		requirement_release(&requirement);
		return more ? holds : -ENOMEM;
	}
	more[to->count++] = (struct constraint){ requirement, line };
	return 0;
}

static int take_constraints(const struct reading *r,
			    const struct requirement_lines *lines,
			    struct constraints *ret)
{
	int result = 0;
	for (size_t i = 0; result == 0 && i < lines->count; i++) {
		if (lines->items[i].constraint)
			result = add_constraint(r, &lines->items[i], ret);
	}
	return result;
}

/* The pin, by the line itself or by a constraint. */
struct pin {
	char *version;
	const struct requirement_line *line; /* whose hashes count */
	bool exact;
};

static int check_pin(const struct reading *r, const struct requirement_line *line,
		     const char *specifiers, const char *version)
{
	struct version v;
	bool is_version = version_parse(version, strlen(version), &v);
	return specifiers_match(specifiers, is_version ? &v : NULL, version) == 1
		   ? 0
		   : refuse(r, line, "and its constraint exclude each other");
}

static bool is_exact(const char *specifiers)
{
	return strncmp(specifiers, "===", 3) == 0;
}

/* By a constraint, when the line has none, or when of "1.0" this says "1.0+cpu". */
static void narrow_pin(const struct requirement_line *line, const struct constraint *c,
		       struct pin *pin)
{
	char *version = requirement_pin(&c->requirement);
	if (!version || (pin->version && !pin_takes(pin->version, version))) {
		free(version);
		return;
	}
	bool exact = pin->version && pin->exact;
	free(pin->version);
	const struct requirement_line *hashed = c->line->hash_count ? c->line : pin->line;
	*pin = (struct pin){ version, line->hash_count ? line : hashed,
			     exact || is_exact(c->requirement.specifiers) };
}

static int find_pin(const struct reading *r, const struct requirement_line *line,
		    const struct requirement *requirement,
		    const struct constraints *constraints, struct pin *ret)
{
	*ret = (struct pin){ requirement_pin(requirement), line,
			     is_exact(requirement->specifiers) };
	for (size_t i = 0; i < constraints->count; i++) {
		const struct constraint *c = &constraints->items[i];
		if (strcmp(c->requirement.name, requirement->name) == 0)
			narrow_pin(line, c, ret);
	}
	if (!ret->version)
		return refuse(r, line,
			      "is not pinned to one version; make a lock of it: uv pip "
			      "compile --generate-hashes requirements.txt -o "
			      "requirements.lock.txt (or: pip lock -r requirements.txt)");
	int result = check_pin(r, line, requirement->specifiers, ret->version);
	for (size_t i = 0; i < constraints->count && result == 0; i++) {
		const struct constraint *c = &constraints->items[i];
		if (strcmp(c->requirement.name, requirement->name) == 0)
			result =
			    check_pin(r, line, c->requirement.specifiers, ret->version);
	}
	return result;
}

static bool is_listed(const struct name_list *list, const char *name)
{
	return name_list_has(list, name) || name_list_has(list, ":all:");
}

static int add_pinned(struct reading *r, const struct requirement_lines *lines,
		      const struct requirement *requirement, const struct pin *pin)
{
	struct wanted_dist dist = {
		.pinned = true,
		.exact = pin->exact,
		.no_wheel = is_listed(&lines->no_binary, requirement->name),
		.no_sdist = is_listed(&lines->only_binary, requirement->name)
	};
	if (r->wanted->require_hashes && pin->line->hash_count == 0)
		return refuse(r, pin->line, "has no hash, and --require-hashes is set");
	int result = fill_name(r, requirement->name, &dist.name);
	if (result == 0)
		result = fill_text(r, pin->version, &dist.version);
	if (result == 0)
		result = requirement_copy_hashes(r, pin->line, &dist);
	if (result == 0)
		return fill_dist_done(r, &dist);
	wanted_dist_release(&dist);
	return result;
}

static int add_requirement(struct reading *r, const struct requirement_lines *lines,
			   const struct requirement_line *line,
			   const struct constraints *constraints)
{
	CLEANUP(requirement_release) struct requirement requirement = { .name = NULL };
	struct pin pin = { .version = NULL };
	int result = parse(r, line, &requirement);
	if (result < 0)
		return result;
	int holds = fill_marker(r, &r->target->markers, requirement.marker);
	if (holds <= 0)
		return holds;
	if (requirement.url)
		return requirement_add_place(r, line, requirement.name, requirement.url);
	result = find_pin(r, line, &requirement, constraints, &pin);
	if (result == 0)
		result = add_pinned(r, lines, &requirement, &pin);
	free(pin.version);
	return result;
}

/* "./folder ; marker" */
static int add_place(struct reading *r, const struct requirement_line *line)
{
	size_t size = strlen(line->text);
	const char *semicolon = strstr(line->text, " ;");
	if (!semicolon)
		semicolon = strstr(line->text, "; ");
	if (semicolon)
		size = (size_t)(semicolon - line->text);
	while (size > 0 && (line->text[size - 1] == ' ' || line->text[size - 1] == '\t'))
		size--;
	cleanup_free char *place = strndup(line->text, size);
	if (!place)
		return -ENOMEM;
	const char *marker = semicolon ? semicolon + 1 + (semicolon[0] == ' ') : NULL;
	int holds = fill_marker(r, &r->target->markers, marker);
	return holds <= 0 ? holds : requirement_add_place(r, line, NULL, place);
}

static int add_lines(struct reading *r, const struct requirement_lines *lines,
		     const struct constraints *constraints)
{
	int result = 0;
	for (size_t i = 0; result == 0 && i < lines->count; i++) {
		const struct requirement_line *line = &lines->items[i];
		if (line->constraint)
			continue;
		bool place = requirement_is_place(line->text);
		result = place ? add_place(r, line)
			       : add_requirement(r, lines, line, constraints);
	}
	return result;
}

static bool asks_for_names(const struct lock_options *o)
{
	return o->extras.count > 0 || o->all_extras || o->groups.count > 0 ||
	       o->only_groups.count > 0 || o->all_groups || o->only_dev;
}

int read_requirements(struct reading *r)
{
	CLEANUP(requirement_lines_release)
	struct requirement_lines lines = { .items = NULL };
	CLEANUP(constraints_release) struct constraints constraints = { .items = NULL };
	if (asks_for_names(r->options))
		return fill_refuse(r,
				   "a requirements file has neither extras nor groups");
	int result = requirement_lines_read(r, &lines);
	if (result == 0)
		result = take_constraints(r, &lines, &constraints);
	return result == 0 ? add_lines(r, &lines, &constraints) : result;
}
