#include "cache/env/markers/marker.h"

#include "cache/base/bytes.h"
#include "cache/version/specifier.h"
#include "cache/wheel/wheel_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64, LONGEST = 64 << 10 };

enum marker_operator {
	OP_IDENTICAL,
	OP_EQUAL,
	OP_COMPATIBLE,
	OP_NOT_EQUAL,
	OP_AT_MOST,
	OP_AT_LEAST,
	OP_BELOW,
	OP_ABOVE,
	OP_IN,
	OP_NOT_IN,
};

/* In the order in which they are looked for: none before one that it begins with. */
static const char *const operator_texts[] = { "===", "==", "~=", "!=", "<=",
					      ">=",  "<",  ">",  "in", "not in" };

/* One side: a variable, or a literal copied from between its quotes. */
struct operand {
	bool is_variable;
	enum marker_variable variable;
	char *text; /* of a literal; the name of a variable is borrowed */
};

struct parser {
	const char *p;
	const struct marker_environment *environment;
	struct error *reterr;
	const char *all;
	int depth;
};

static const char *const names[MARKER_COUNT] = {
	[MARKER_IMPLEMENTATION_NAME] = "implementation_name",
	[MARKER_IMPLEMENTATION_VERSION] = "implementation_version",
	[MARKER_OS_NAME] = "os_name",
	[MARKER_PLATFORM_MACHINE] = "platform_machine",
	[MARKER_PLATFORM_PYTHON_IMPLEMENTATION] = "platform_python_implementation",
	[MARKER_PLATFORM_RELEASE] = "platform_release",
	[MARKER_PLATFORM_SYSTEM] = "platform_system",
	[MARKER_PLATFORM_VERSION] = "platform_version",
	[MARKER_PYTHON_FULL_VERSION] = "python_full_version",
	[MARKER_PYTHON_VERSION] = "python_version",
	[MARKER_SYS_PLATFORM] = "sys_platform",
	[MARKER_EXTRA] = "extra",
	[MARKER_EXTRAS] = "extras",
	[MARKER_DEPENDENCY_GROUPS] = "dependency_groups",
};

const char *marker_name(enum marker_variable variable)
{
	return names[variable];
}

static int refuse(const struct parser *r, const char *why)
{
	return error_set(r->reterr, -EINVAL, "the marker '%.300s' %s", r->all, why);
}

static void skip_space(struct parser *r)
{
	while (*r->p == ' ' || *r->p == '\t')
		r->p++;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

static bool take_word(struct parser *r, const char *word)
{
	size_t size = strlen(word);
	if (strncmp(r->p, word, size) != 0 || is_word(r->p[size]))
		return false;
	r->p += size;
	return true;
}

static bool take_variable(struct parser *r, enum marker_variable *ret)
{
	/* Older spellings, as setuptools once had them. */
	static const struct {
		const char *name;
		enum marker_variable variable;
	} others[] = {
		{ "os.name", MARKER_OS_NAME },
		{ "sys.platform", MARKER_SYS_PLATFORM },
		{ "platform.version", MARKER_PLATFORM_VERSION },
		{ "platform.machine", MARKER_PLATFORM_MACHINE },
		{ "platform.python_implementation",
		  MARKER_PLATFORM_PYTHON_IMPLEMENTATION },
		{ "python_implementation", MARKER_PLATFORM_PYTHON_IMPLEMENTATION },
	};
	for (int i = 0; i < MARKER_COUNT; i++) {
		*ret = (enum marker_variable)i;
		if (take_word(r, names[i]))
			return true;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		*ret = others[i].variable;
		if (take_word(r, others[i].name))
			return true;
	}
	return false;
}

static int take_literal(struct parser *r, char **ret)
{
	char quote = *r->p;
	const char *start = r->p + 1;
	const char *end = strchr(start, quote);
	if (!end)
		return refuse(r, "has a quote that does not end");
	for (const char *c = start; c < end; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
			return refuse(r, "has a character in quotes that none may have");
	}
	*ret = strndup(start, (size_t)(end - start));
	r->p = end + 1;
	return *ret ? 0 : -ENOMEM;
}

static int take_operand(struct parser *r, struct operand *ret)
{
	skip_space(r);
	if (*r->p == '\'' || *r->p == '"')
		return take_literal(r, &ret->text);
	ret->is_variable = true;
	return take_variable(r, &ret->variable)
		   ? 0
		   : refuse(r, "lacks a variable or a text in quotes");
}

static int take_operator(struct parser *r, enum marker_operator *ret)
{
	skip_space(r);
	for (int i = OP_IDENTICAL; i <= OP_ABOVE; i++) {
		size_t size = strlen(operator_texts[i]);
		if (strncmp(r->p, operator_texts[i], size) != 0)
			continue;
		r->p += size;
		*ret = (enum marker_operator)i;
		return 0;
	}
	*ret = OP_IN;
	if (take_word(r, "in"))
		return 0;
	*ret = OP_NOT_IN;
	if (take_word(r, "not") && (*r->p == ' ' || *r->p == '\t')) {
		skip_space(r);
		if (take_word(r, "in"))
			return 0;
	}
	return refuse(r, "lacks an operator: one of <=, <, !=, ==, >=, >, ~=, ===, in, "
			 "not in");
}

static void normalise(char *text)
{
	normalise_name(text, text, strlen(text) + 1);
}

static const char *value_of(const struct parser *r, enum marker_variable variable)
{
	return variable == MARKER_EXTRA ? r->environment->extra
					: r->environment->values[variable];
}

/* 1 or 0; -EINVAL: what stands right of the operator is no version. */
static int compare_versions(const char *left, enum marker_operator op, const char *right)
{
	struct specifier specifier;
	struct version version;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = buffer_printf(&text, "%s%s", operator_texts[op], right);
	const char *all = r == 0 ? buffer_cstr(&text) : NULL;
	if (!all)
		return -ENOMEM;
	const char *end = all + text.size;
	const char *behind = specifier_parse(all, end, &specifier);
	while (behind && behind < end && isspace((unsigned char)*behind))
		behind++;
	if (behind != end)
		return -EINVAL;
	bool is_version = version_parse(left, strlen(left), &version);
	return specifier_matches(&specifier, is_version ? &version : NULL, left);
}

static bool is_version_variable(enum marker_variable variable)
{
	return variable == MARKER_IMPLEMENTATION_VERSION ||
	       variable == MARKER_PLATFORM_RELEASE ||
	       variable == MARKER_PYTHON_FULL_VERSION ||
	       variable == MARKER_PYTHON_VERSION;
}

static int compare_texts(const struct parser *r, const char *left,
			 enum marker_operator op, const char *right)
{
	switch (op) {
	case OP_EQUAL:
	case OP_AT_MOST:
	case OP_AT_LEAST:
		return strcmp(left, right) == 0;
	case OP_NOT_EQUAL:
		return strcmp(left, right) != 0;
	case OP_BELOW:
	case OP_ABOVE:
		return false;
	case OP_IN:
		return strstr(right, left) != NULL;
	case OP_NOT_IN:
		return strstr(right, left) == NULL;
	case OP_IDENTICAL:
	case OP_COMPATIBLE:
	default:
		return refuse(r, "compares texts as if they were versions");
	}
}

/* An unfinished build says "3.13.0+", which is no version. */
static int compare_value(const struct parser *r, enum marker_variable variable,
			 const char *const sides[2], enum marker_operator op)
{
	if (is_version_variable(variable)) {
		int result = compare_versions(sides[0], op, sides[1]);
		if (result != -EINVAL)
			return result;
	}
	return compare_texts(r, sides[0], op, sides[1]);
}

static int compare_set(const struct parser *r, const struct operand sides[2],
		       enum marker_operator op)
{
	bool extras = sides[1].variable == MARKER_EXTRAS;
	const struct marker_set *set =
	    extras ? r->environment->extras : r->environment->groups;
	if (!set)
		return refuse(r, "asks for extras or groups where there are none");
	bool found = false;
	for (size_t i = 0; i < set->count; i++)
		found = found || strcmp(set->names[i], sides[0].text) == 0;
	if (op == OP_IN || op == OP_NOT_IN)
		return found == (op == OP_IN);
	/* A name is never a set. */
	return op == OP_IDENTICAL || op == OP_COMPATIBLE
		   ? refuse(r, "compares a set as if it were a version")
		   : op == OP_NOT_EQUAL;
}

static int compare_extra(const struct parser *r, const char *name,
			 enum marker_operator op)
{
	bool has = r->environment->has_extra(r->environment->context, name);
	if (op != OP_EQUAL && op != OP_NOT_EQUAL)
		return refuse(r, "compares extras in a way that uv does not");
	return has == (op == OP_EQUAL);
}

static bool is_set(const struct operand *o)
{
	return o->is_variable &&
	       (o->variable == MARKER_EXTRAS || o->variable == MARKER_DEPENDENCY_GROUPS);
}

static int compare(const struct parser *r, struct operand sides[2],
		   enum marker_operator op)
{
	if (is_set(&sides[0]))
		return refuse(r, "has a set left of its operator");
	if (!sides[0].is_variable && !sides[1].is_variable)
		return refuse(r, "compares two literals");
	/* As packaging has it, a second variable means its own name. */
	int named = sides[0].is_variable ? 0 : 1;
	struct operand *literal = &sides[1 - named];
	enum marker_variable variable = sides[named].variable;
	if (!literal->is_variable && (variable == MARKER_EXTRA || is_set(&sides[1])))
		normalise(literal->text);
	if (named == 1 && is_set(&sides[1]))
		return compare_set(r, sides, op);
	const char *text =
	    literal->is_variable ? names[literal->variable] : literal->text;
	if (variable == MARKER_EXTRA && r->environment->has_extra)
		return compare_extra(r, text, op);
	const char *value = value_of(r, variable);
	if (!value)
		return refuse(r, "asks for an extra where there is none");
	const char *const texts[2] = { named == 0 ? value : text,
				       named == 0 ? text : value };
	return compare_value(r, variable, texts, op);
}

/* All of these return 1, 0 or an error. */
static int take_item(struct parser *r)
{
	struct operand sides[2] = { { .text = NULL }, { .text = NULL } };
	enum marker_operator op = OP_IN;
	int result = take_operand(r, &sides[0]);
	if (result == 0)
		result = take_operator(r, &op);
	if (result == 0)
		result = take_operand(r, &sides[1]);
	if (result == 0 && r->environment)
		result = compare(r, sides, op);
	free(sides[0].text);
	free(sides[1].text);
	skip_space(r);
	return result;
}

static int take_any(struct parser *r);

static int take_atom(struct parser *r)
{
	skip_space(r);
	if (*r->p != '(')
		return take_item(r);
	if (++r->depth > DEEPEST)
		return refuse(r, "is nested too deeply");
	r->p++;
	int result = take_any(r);
	if (result >= 0 && *r->p != ')')
		return refuse(r, "has a parenthesis that is not closed");
	r->depth--;
	r->p += result >= 0;
	skip_space(r);
	return result;
}

static int take_all(struct parser *r)
{
	int result = take_atom(r);
	while (result >= 0 && take_word(r, "and")) {
		int next = take_atom(r);
		result = next < 0 ? next : result && next;
	}
	return result;
}

static int take_any(struct parser *r)
{
	int result = take_all(r);
	while (result >= 0 && take_word(r, "or")) {
		int next = take_all(r);
		result = next < 0 ? next : result || next;
	}
	return result;
}

int marker_evaluate(const char *text, const struct marker_environment *environment,
		    bool *ret, struct error *reterr)
{
	struct parser r = {
		.p = text, .environment = environment, .reterr = reterr, .all = text
	};
	if (strlen(text) > LONGEST)
		return error_set(reterr, -EINVAL,
				 "a marker of %zu characters is too long", strlen(text));
	int result = take_any(&r);
	if (result >= 0 && *r.p != '\0')
		return refuse(&r, "goes on where it should end");
	if (result < 0)
		return result;
	*ret = result;
	return 0;
}
