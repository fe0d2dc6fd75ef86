#include "cache/version/version.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct reader {
	const char *p, *end;
};

static bool at_digit(const struct reader *r)
{
	return r->p < r->end && isdigit((unsigned char)*r->p);
}

static bool at(const struct reader *r, char c)
{
	return r->p < r->end && *r->p == c;
}

static bool take_digits(struct reader *r, uint64_t *ret)
{
	uint64_t value = 0;
	if (!at_digit(r))
		return false;
	for (; at_digit(r); r->p++) {
		uint64_t digit = (uint64_t)(*r->p - '0');
		if (value > (INT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret = value;
	return true;
}

static void skip_separator(struct reader *r)
{
	if (r->p < r->end && strchr(".-_", *r->p) && *r->p != '\0')
		r->p++;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t size = strlen(word);
	if ((size_t)(r->end - r->p) < size || strncasecmp(r->p, word, size) != 0)
		return false;
	r->p += size;
	return true;
}

/* "1!" and "2.0.1", with a "v" before it. */
static bool take_release(struct reader *r, struct version *v)
{
	uint64_t number;
	if (at(r, 'v') || at(r, 'V'))
		r->p++;
	if (!take_digits(r, &number))
		return false;
	if (at(r, '!')) {
		r->p++;
		v->epoch = number;
		if (!take_digits(r, &number))
			return false;
	}
	v->release[v->count++] = number;
	while (r->end - r->p >= 2 && *r->p == '.' && isdigit((unsigned char)r->p[1])) {
		r->p++;
		if (v->count == VERSION_PARTS || !take_digits(r, &number))
			return false;
		v->release[v->count++] = number;
	}
	return true;
}

/*
 * A number that may be missing, and the separator before it, which belongs to the word
 * even without a number: "1.0a-" is 1.0a0. False: it does not fit.
 */
static bool take_optional_number(struct reader *r, uint64_t *ret)
{
	skip_separator(r);
	*ret = 0;
	return !at_digit(r) || take_digits(r, ret);
}

static bool take_pre(struct reader *r, struct version *v)
{
	static const struct {
		const char *word;
		enum version_pre pre;
	} words[] = { { "alpha", VERSION_ALPHA },       { "a", VERSION_ALPHA },
		      { "beta", VERSION_BETA },         { "b", VERSION_BETA },
		      { "preview", VERSION_CANDIDATE }, { "pre", VERSION_CANDIDATE },
		      { "c", VERSION_CANDIDATE },       { "rc", VERSION_CANDIDATE } };
	struct reader behind = *r;
	skip_separator(&behind);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (!take_word(&behind, words[i].word))
			continue;
		*r = behind;
		v->pre = words[i].pre;
		return take_optional_number(r, &v->pre_number);
	}
	return true;
}

static bool take_post(struct reader *r, struct version *v)
{
	struct reader behind = *r;
	if (at(r, '-') && r->end - r->p >= 2 && isdigit((unsigned char)r->p[1])) {
		r->p++;
		v->has_post = true;
		return take_digits(r, &v->post);
	}
	skip_separator(&behind);
	if (!take_word(&behind, "post") && !take_word(&behind, "rev") &&
	    !take_word(&behind, "r"))
		return true;
	*r = behind;
	v->has_post = true;
	return take_optional_number(r, &v->post);
}

static bool take_dev(struct reader *r, struct version *v)
{
	struct reader behind = *r;
	skip_separator(&behind);
	if (!take_word(&behind, "dev"))
		return true;
	*r = behind;
	v->has_dev = true;
	return take_optional_number(r, &v->dev);
}

static void lower(const char *from, size_t size, char *to)
{
	for (size_t i = 0; i < size; i++)
		to[i] =
		    (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] | 0x20 : from[i]);
}

static bool is_number(const char *text, const char *end)
{
	while (text < end && isdigit((unsigned char)*text))
		text++;
	return text == end;
}

/* One part behind "+", in its one spelling. */
static bool take_local_part(struct reader *r, char *to, size_t room, size_t *ret_size)
{
	const char *start = r->p;
	while (r->p < r->end && isalnum((unsigned char)*r->p))
		r->p++;
	if (is_number(start, r->p)) {
		while (r->p - start > 1 && *start == '0')
			start++;
	}
	size_t size = (size_t)(r->p - start);
	if (size == 0 || size >= room)
		return false;
	lower(start, size, to);
	*ret_size = size;
	return true;
}

static bool take_local(struct reader *r, struct version *v)
{
	size_t used = 0;
	size_t size;
	if (!at(r, '+'))
		return true;
	do {
		r->p++;
		if (used > 0)
			v->local[used++] = '.';
		if (used + 1 >= sizeof(v->local) ||
		    !take_local_part(r, v->local + used, sizeof(v->local) - used - 1,
				     &size))
			return false;
		used += size;
	} while (at(r, '.') || at(r, '-') || at(r, '_'));
	v->local[used] = '\0';
	return true;
}

const char *version_parse_public(const char *text, const char *end, struct version *ret)
{
	struct reader r = { text, end };
	struct version v = { .pre = VERSION_FINAL };
	if (!take_release(&r, &v) || !take_pre(&r, &v) || !take_post(&r, &v) ||
	    !take_dev(&r, &v))
		return NULL;
	*ret = v;
	return r.p;
}

bool version_parse(const char *text, size_t size, struct version *ret)
{
	struct reader r = { text, text + size };
	while (r.p < r.end && isspace((unsigned char)*r.p))
		r.p++;
	while (r.p < r.end && isspace((unsigned char)r.end[-1]))
		r.end--;
	struct version v;
	r.p = version_parse_public(r.p, r.end, &v);
	if (!r.p || !take_local(&r, &v) || r.p != r.end)
		return false;
	*ret = v;
	return true;
}

static int order(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* Where it stands among those of one release: dev, alpha, beta, candidate, final. */
static int pre_rank(const struct version *v)
{
	bool only_dev = v->pre == VERSION_FINAL && !v->has_post && v->has_dev;
	return only_dev ? -1 : (int)v->pre;
}

int version_compare_public(const struct version *a, const struct version *b)
{
	int r = order(a->epoch, b->epoch);
	for (unsigned i = 0; r == 0 && i < VERSION_PARTS; i++)
		r = order(a->release[i], b->release[i]);
	if (r == 0)
		r = pre_rank(a) - pre_rank(b);
	if (r == 0)
		r = order(a->pre_number, b->pre_number);
	if (r == 0)
		r = (int)a->has_post - (int)b->has_post;
	if (r == 0)
		r = order(a->post, b->post);
	if (r == 0)
		r = (int)b->has_dev - (int)a->has_dev;
	return r ? r : order(a->dev, b->dev);
}

/* Numbers stand above words, and a part more above none. */
static int compare_local(const char *a, const char *b)
{
	while (*a && *b) {
		size_t a_size = strcspn(a, ".");
		size_t b_size = strcspn(b, ".");
		bool a_number = strspn(a, "0123456789") == a_size;
		bool b_number = strspn(b, "0123456789") == b_size;
		int r = (int)a_number - (int)b_number;
		if (r == 0 && a_number)
			r = order(a_size, b_size);
		if (r == 0)
			r = strncmp(a, b, a_size < b_size ? a_size : b_size);
		if (r == 0)
			r = order(a_size, b_size);
		if (r != 0)
			return r;
		a += a_size + (a[a_size] == '.');
		b += b_size + (b[b_size] == '.');
	}
	return (int)(*a != '\0') - (int)(*b != '\0');
}

int version_compare(const struct version *a, const struct version *b)
{
	int r = version_compare_public(a, b);
	return r ? r : compare_local(a->local, b->local);
}

__attribute__((format(printf, 3, 4))) static void
add(char text[VERSION_TEXT], size_t *used, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int size = vsnprintf(text + *used, VERSION_TEXT - *used, format, args);
	va_end(args);
	*used += size > 0 ? (size_t)size : 0;
}

void version_format(const struct version *v, char ret_text[VERSION_TEXT])
{
	static const char *const names[] = { "a", "b", "rc" };
	size_t used = 0;
	if (v->epoch > 0)
		add(ret_text, &used, "%llu!", (unsigned long long)v->epoch);
	for (unsigned i = 0; i < v->count; i++)
		add(ret_text, &used, "%s%llu", i ? "." : "",
		    (unsigned long long)v->release[i]);
	if (v->pre != VERSION_FINAL)
		add(ret_text, &used, "%s%llu", names[v->pre],
		    (unsigned long long)v->pre_number);
	if (v->has_post)
		add(ret_text, &used, ".post%llu", (unsigned long long)v->post);
	if (v->has_dev)
		add(ret_text, &used, ".dev%llu", (unsigned long long)v->dev);
	if (v->local[0])
		add(ret_text, &used, "+%s", v->local);
}
