#include "cache/version/specifier.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static bool take_operator(const char **p, const char *end, enum specifier_operator *ret)
{
	static const struct {
		const char *text;
		enum specifier_operator kind;
	} operators[] = { { "===", SPECIFIER_IDENTICAL }, { "~=", SPECIFIER_COMPATIBLE },
			  { "==", SPECIFIER_EQUAL },      { "!=", SPECIFIER_NOT_EQUAL },
			  { "<=", SPECIFIER_AT_MOST },    { ">=", SPECIFIER_AT_LEAST },
			  { "<", SPECIFIER_BELOW },       { ">", SPECIFIER_ABOVE } };
	for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
		size_t size = strlen(operators[i].text);
		if ((size_t)(end - *p) < size || memcmp(*p, operators[i].text, size) != 0)
			continue;
		*p += size;
		*ret = operators[i].kind;
		return true;
	}
	return false;
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && isspace((unsigned char)*p))
		p++;
	return p;
}

/* The local part behind a public version; its end. */
static const char *local_end(const char *p, const char *end)
{
	const char *stop = p;
	while (p < end && (*p == '+' || strchr(".-_", *p)) && end - p >= 2 &&
	       isalnum((unsigned char)p[1])) {
		p++;
		while (p < end && isalnum((unsigned char)*p))
			p++;
		stop = p;
	}
	return stop;
}

static bool is_plain_release(const struct version *v)
{
	return v->pre == VERSION_FINAL && !v->has_post && !v->has_dev;
}

static const char *parse_equality(const char *p, const char *behind, const char *end,
				  struct specifier *s)
{
	if (end - behind >= 2 && memcmp(behind, ".*", 2) == 0) {
		s->any_more = true;
		return is_plain_release(&s->version) ? behind + 2 : NULL;
	}
	if (behind == end || *behind != '+')
		return behind;
	behind = local_end(behind, end);
	return version_parse(p, (size_t)(behind - p), &s->version) ? behind : NULL;
}

const char *specifier_parse(const char *text, const char *end, struct specifier *ret)
{
	struct specifier s = { .text = NULL };
	const char *p = text;
	if (!take_operator(&p, end, &s.kind))
		return NULL;
	p = skip_space(p, end);
	const char *behind = p;
	if (s.kind == SPECIFIER_IDENTICAL) {
		while (behind < end && !isspace((unsigned char)*behind) &&
		       *behind != ';' && *behind != ')')
			behind++;
		behind = behind > p ? behind : NULL;
	} else {
		behind = version_parse_public(p, end, &s.version);
	}
	if (behind && (s.kind == SPECIFIER_EQUAL || s.kind == SPECIFIER_NOT_EQUAL))
		behind = parse_equality(p, behind, end, &s);
	if (!behind || (s.kind == SPECIFIER_COMPATIBLE && s.version.count < 2))
		return NULL;
	s.text = p;
	s.size = (size_t)(behind - p);
	*ret = s;
	return behind;
}

static bool same_release(const struct version *a, const struct version *b)
{
	return a->epoch == b->epoch &&
	       memcmp(a->release, b->release, sizeof(a->release)) == 0;
}

/* The very first version of the release that follows all that begin so: 1.3.dev0. */
static struct version next_prefix(const struct version *v, unsigned count)
{
	struct version next = {
		.epoch = v->epoch, .count = count, .pre = VERSION_FINAL, .has_dev = true
	};
	memcpy(next.release, v->release, count * sizeof(*next.release));
	next.release[count - 1]++;
	return next;
}

static bool has_prefix(const struct specifier *s, const struct version *v)
{
	struct version next = next_prefix(&s->version, s->version.count);
	struct version first = s->version;
	first.has_dev = true;
	return version_compare(v, &first) >= 0 && version_compare(v, &next) < 0;
}

static bool equals(const struct specifier *s, const struct version *v)
{
	if (s->any_more)
		return has_prefix(s, v);
	return s->version.local[0] ? version_compare(v, &s->version) == 0
				   : version_compare_public(v, &s->version) == 0;
}

/* ">1.0" is neither 1.0.post1 nor 1.0+local. */
static bool is_above(const struct specifier *s, const struct version *v)
{
	struct version least = s->version;
	if (least.has_dev) {
		least.dev++;
		return version_compare(v, &least) >= 0;
	}
	if (least.has_post) {
		least.post++;
		least.has_dev = true;
		return version_compare(v, &least) >= 0;
	}
	bool of_it = same_release(&least, v) && least.pre == v->pre &&
		     least.pre_number == v->pre_number && (!v->has_dev || v->has_post);
	return !of_it && version_compare(v, &least) > 0;
}

/* "<1.0" is no 1.0rc1 either. */
static bool is_below(const struct specifier *s, const struct version *v)
{
	struct version first = s->version;
	if (first.pre == VERSION_FINAL && !first.has_dev) {
		first.has_dev = true;
		first.dev = 0;
	}
	return version_compare(v, &first) < 0;
}

static bool is_compatible(const struct specifier *s, const struct version *v)
{
	struct version next = next_prefix(&s->version, s->version.count - 1);
	return version_compare(v, &s->version) >= 0 && version_compare(v, &next) < 0;
}

static bool is_identical(const struct specifier *s, const char *text)
{
	return strlen(text) == s->size && strncasecmp(text, s->text, s->size) == 0;
}

bool specifier_matches(const struct specifier *s, const struct version *version,
		       const char *text)
{
	if (s->kind == SPECIFIER_IDENTICAL)
		return is_identical(s, text);
	if (!version)
		return false;
	switch (s->kind) {
	case SPECIFIER_COMPATIBLE:
		return is_compatible(s, version);
	case SPECIFIER_NOT_EQUAL:
		return !equals(s, version);
	case SPECIFIER_AT_MOST:
		return version_compare_public(version, &s->version) <= 0;
	case SPECIFIER_AT_LEAST:
		return version_compare(version, &s->version) >= 0;
	case SPECIFIER_BELOW:
		return is_below(s, version);
	case SPECIFIER_ABOVE:
		return is_above(s, version);
	case SPECIFIER_EQUAL:
	case SPECIFIER_IDENTICAL:
	default:
		return equals(s, version);
	}
}

int specifiers_match(const char *list, const struct version *version, const char *text)
{
	int r = 1;
	for (const char *p = list; *p; p += *p == ',') {
		struct specifier s;
		const char *end = p + strcspn(p, ",");
		p = skip_space(p, end);
		if (p == end)
			continue;
		p = specifier_parse(p, end, &s);
		if (!p || skip_space(p, end) != end)
			return -EINVAL;
		p = end;
		if (!specifier_matches(&s, version, text))
			r = 0;
	}
	return r;
}
