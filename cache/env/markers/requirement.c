#include "cache/env/markers/requirement.h"

#include "cache/base/bytes.h"
#include "cache/base/shown.h"
#include "cache/env/markers/marker.h"
#include "cache/version/specifier.h"
#include "cache/wheel/wheel_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 128 << 10, LONGEST_NAME = 255, MOST_EXTRAS = 256 };

struct parser {
	const char *p, *end, *all;
	struct error *reterr;
};

static int refuse(const struct parser *r, const char *why)
{
	cleanup_free char *shown = text_shown(r->all);
	return error_set(r->reterr, -EINVAL, "the requirement '%.300s' %s",
			 shown ? shown : "", why);
}

static bool at_space(const struct parser *r)
{
	return *r->p == ' ' || *r->p == '\t';
}

static void skip_space(struct parser *r)
{
	while (at_space(r))
		r->p++;
}

/* A name of a distribution or an extra, normalised. */
static int take_name(struct parser *r, char **ret)
{
	const char *start = r->p;
	const char *end = start;
	while (isalnum((unsigned char)*end) || (*end && strchr("._-", *end)))
		end++;
	while (end > start && (end[-1] == '.' || end[-1] == '-'))
		end--;
	size_t size = (size_t)(end - start);
	if (size == 0 || !isalnum((unsigned char)*start) || (*end & 0x80))
		return refuse(r, "lacks a name");
	if (size > LONGEST_NAME)
		return refuse(r, "has a name that is too long");
	cleanup_free char *name = strndup(start, size);
	if (!name)
		return -ENOMEM;
	normalise_name(name, name, size + 1);
	r->p = end;
	*ret = steal_ptr(name);
	return 0;
}

static int take_extra(struct parser *r, struct requirement *to)
{
	if (to->extra_count == MOST_EXTRAS)
		return refuse(r, "has too many extras");
	char **more = realloc(to->extras, (to->extra_count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	to->extras = more;
	int result = take_name(r, &to->extras[to->extra_count]);
	to->extra_count += result == 0;
	skip_space(r);
	return result;
}

static int take_extras(struct parser *r, struct requirement *to)
{
	if (*r->p != '[')
		return 0;
	r->p++;
	skip_space(r);
	int result = *r->p == ']' ? 0 : take_extra(r, to);
	while (result == 0 && *r->p == ',') {
		r->p++;
		skip_space(r);
		result = take_extra(r, to);
	}
	if (result == 0 && *r->p != ']')
		return refuse(r, "has extras whose list does not end");
	r->p += result == 0;
	return result;
}

static int take_list(struct parser *r, struct buffer *to)
{
	struct specifier s;
	for (;;) {
		const char *start = r->p;
		const char *behind = specifier_parse(start, r->end, &s);
		if (!behind)
			return 0;
		int result = buffer_append(to, start, (size_t)(behind - start));
		if (result < 0)
			return result;
		r->p = behind;
		skip_space(r);
		if (*r->p != ',')
			return 0;
		result = buffer_append_text(to, ",");
		if (result < 0)
			return result;
		r->p++;
		skip_space(r);
	}
}

static int take_specifiers(struct parser *r, struct requirement *to)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	bool enclosed = *r->p == '(';
	r->p += enclosed;
	skip_space(r);
	int result = take_list(r, &text);
	if (result == 0 && enclosed && *r->p != ')')
		return refuse(r, "has a parenthesis that is not closed");
	r->p += result == 0 && enclosed;
	const char *all = result == 0 ? buffer_cstr(&text) : NULL;
	/* "===1,0" is one at first sight, and two to who judges by it. */
	if (all && specifiers_match(all, NULL, "") < 0)
		return refuse(r, "has a version that is none");
	to->specifiers = all ? strdup(all) : NULL;
	return to->specifiers ? 0 : -ENOMEM;
}

/* "@ URL"; white space must stand between it and a semicolon. */
static int take_url(struct parser *r, struct requirement *to)
{
	r->p++;
	skip_space(r);
	size_t size = strcspn(r->p, " \t");
	if (size == 0)
		return refuse(r, "lacks the URL behind its '@'");
	to->url = strndup(r->p, size);
	to->specifiers = strdup("");
	r->p += size;
	return to->url && to->specifiers ? 0 : -ENOMEM;
}

static int take_marker(struct parser *r, struct requirement *to)
{
	bool holds;
	if (r->p == r->end)
		return 0;
	if (*r->p != ';')
		return refuse(r, "has something behind its version that is no marker");
	r->p++;
	skip_space(r);
	int result = marker_evaluate(r->p, NULL, &holds, r->reterr);
	if (result < 0)
		return result;
	to->marker = strdup(r->p);
	return to->marker ? 0 : -ENOMEM;
}

static int parse(struct parser *r, struct requirement *to)
{
	skip_space(r);
	int result = take_name(r, &to->name);
	skip_space(r);
	if (result == 0)
		result = take_extras(r, to);
	skip_space(r);
	if (result == 0)
		result = *r->p == '@' ? take_url(r, to) : take_specifiers(r, to);
	skip_space(r);
	return result == 0 ? take_marker(r, to) : result;
}

static bool has_control(const char *text)
{
	for (; *text; text++) {
		if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
			return true;
	}
	return false;
}

int requirement_parse(const char *text, struct requirement *ret, struct error *reterr)
{
	struct parser r = {
		.p = text, .end = text + strlen(text), .all = text, .reterr = reterr
	};
	CLEANUP(requirement_release) struct requirement made = { .name = NULL };
	if (r.end - r.p > LONGEST || has_control(text))
		return refuse(&r, "is too long, or has a control character");
	int result = parse(&r, &made);
	if (result < 0)
		return result;
	*ret = made;
	made = (struct requirement){ .name = NULL };
	return 0;
}

void requirement_release(struct requirement *r)
{
	free(r->name);
	for (size_t i = 0; i < r->extra_count; i++)
		free(r->extras[i]);
	free(r->extras);
	free(r->url);
	free(r->specifiers);
	free(r->marker);
	*r = (struct requirement){ .name = NULL };
}

char *requirement_pin(const struct requirement *r)
{
	struct specifier s;
	const char *end = r->specifiers + strlen(r->specifiers);
	if (specifier_parse(r->specifiers, end, &s) != end || s.any_more || s.size == 0)
		return NULL;
	if (s.kind != SPECIFIER_EQUAL && s.kind != SPECIFIER_IDENTICAL)
		return NULL;
	return strndup(s.text, s.size);
}
