#include "cache/wheel/wheel_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_part(const char *text)
{
	for (const char *p = text; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("_.+!", *p))
			return false;
	}
	return *text != '\0';
}

int wheel_name_parse(const char *file_name, struct wheel_name *ret, struct error *reterr)
{
	size_t size = strlen(file_name);
	char *parts[6];
	size_t count = 0;
	if (size < 5 || strcmp(file_name + size - 4, ".whl") != 0)
		return error_set(reterr, -EBADMSG, "its name does not end with .whl");
	if (size >= sizeof(ret->text))
		return error_set(reterr, -EBADMSG, "its name is too long");
	memcpy(ret->text, file_name, size - 4);
	ret->text[size - 4] = '\0';
	char *rest = ret->text;
	for (char *part; count < 6 && (part = strsep(&rest, "-")) != NULL; count++)
		parts[count] = part;
	bool good = (count == 5 || count == 6) && !rest;
	for (size_t i = 0; good && i < count; i++)
		good = is_part(parts[i]);
	if (!good || (count == 6 && !isdigit((unsigned char)parts[2][0])))
		return error_set(
		    reterr, -EBADMSG,
		    "its name is not of the form name-version(-build)-python-abi-"
		    "platform.whl");
	ret->distribution = parts[0];
	ret->version = parts[1];
	ret->build = count == 6 ? parts[2] : "";
	ret->python = parts[count - 3];
	ret->abi = parts[count - 2];
	ret->platform = parts[count - 1];
	return 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_separator(char c)
{
	return c == '-' || c == '_' || c == '.';
}

void normalise_name(const char *name, char *ret_text, size_t room)
{
	size_t used = 0;
	for (; *name && used + 1 < room; name++) {
		bool separator = is_separator(*name);
		if (separator && used > 0 && ret_text[used - 1] == '-')
			continue;
		ret_text[used++] = separator ? '-' : lower(*name);
	}
	ret_text[used] = '\0';
}

bool same_name(const char *a, const char *b)
{
	char x[256];
	char y[256];
	normalise_name(a, x, sizeof(x));
	normalise_name(b, y, sizeof(y));
	return strcmp(x, y) == 0;
}

/*
 * A version as a row of tokens: numbers without leading zeros and words in PEP 440's
 * spelling. Separators carry no meaning between them; "-1" is a post release.
 */
struct version_reader {
	const char *p;
	bool was_word;
};

static const char *spelling(const char *word, size_t size)
{
	static const struct {
		const char *from, *to;
	} words[] = { { "alpha", "a" },    { "a", "a" },    { "beta", "b" },
		      { "b", "b" },        { "c", "rc" },   { "pre", "rc" },
		      { "preview", "rc" }, { "rc", "rc" },  { "post", "post" },
		      { "rev", "post" },   { "r", "post" }, { "dev", "dev" } };
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strlen(words[i].from) == size &&
		    strncasecmp(words[i].from, word, size) == 0)
			return words[i].to;
	}
	return NULL;
}

/* The next token into `token`; false at the end. A word without a number means number 0.
 */
static bool next_token(struct version_reader *v, char token[32])
{
	bool dash = *v->p == '-';
	size_t separators = strspn(v->p, "._-");
	const char *p = v->p + separators;
	if (v->was_word && !isdigit((unsigned char)*p)) {
		v->was_word = false;
		(void)snprintf(token, 32, "0");
		return true;
	}
	if (*p == '\0')
		return false;
	if (isdigit((unsigned char)*p) && dash && !v->was_word) {
		v->was_word = true;
		v->p = p;
		(void)snprintf(token, 32, "post");
		return true;
	}
	size_t size = 0;
	if (isdigit((unsigned char)*p)) {
		while (*p == '0' && isdigit((unsigned char)p[1]))
			p++;
		while (isdigit((unsigned char)p[size]))
			size++;
		(void)snprintf(token, 32, "%.*s", (int)size, p);
		v->was_word = false;
	} else if (isalpha((unsigned char)*p)) {
		while (isalpha((unsigned char)p[size]))
			size++;
		const char *known = spelling(p, size);
		(void)snprintf(token, 32, "%.*s", known ? (int)strlen(known) : (int)size,
			       known ? known : p);
		v->was_word = known != NULL;
	} else {
		size = 1;
		(void)snprintf(token, 32, "%c", *p);
	}
	v->p = p + size;
	return true;
}

/* The tokens joined by spaces, trailing zeros of the release part left off. */
static void canonical_version(const char *text, size_t size, char *ret_text, size_t room)
{
	char copy[128];
	char token[32];
	(void)snprintf(copy, sizeof(copy), "%.*s", (int)size, text);
	struct version_reader v = { .p = copy + (copy[0] == 'v' || copy[0] == 'V') };
	size_t used = 0;
	size_t trimmed = 0; /* size without the zeros at the end of the release */
	bool in_release = true;
	ret_text[0] = '\0';
	while (next_token(&v, token) && used + 34 < room) {
		if (in_release && !isdigit((unsigned char)token[0]) && token[0] != '!') {
			in_release = false;
			used = trimmed;
		}
		used += (size_t)snprintf(ret_text + used, room - used, "%s ", token);
		if (!in_release || strcmp(token, "0") != 0)
			trimmed = used;
	}
	if (in_release)
		ret_text[trimmed] = '\0';
}

bool same_version(const char *a, const char *b)
{
	char x[256];
	char y[256];
	size_t a_size = strlen(a);
	size_t b_size = strlen(b);
	if (!strchr(a, '+'))
		b_size = strcspn(b, "+");
	if (!strchr(b, '+'))
		a_size = strcspn(a, "+");
	canonical_version(a, a_size, x, sizeof(x));
	canonical_version(b, b_size, y, sizeof(y));
	return strcmp(x, y) == 0;
}

/* The value behind the colon, without the white space before it. */
static bool copy_value(const char *value, size_t size, char *ret_value, size_t room)
{
	while (size > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		size--;
	}
	if (size >= room)
		return false;
	memcpy(ret_value, value, size);
	ret_value[size] = '\0';
	return true;
}

bool header_value(const char *text, size_t size, const char *name, unsigned n,
		  char *ret_value, size_t room)
{
	size_t name_size = strlen(name);
	const char *end = text + size;
	for (const char *line = text; line < end;) {
		const char *line_end = memchr(line, '\n', (size_t)(end - line));
		if (!line_end)
			line_end = end;
		size_t line_size = (size_t)(line_end - line);
		if (line_size > 0 && line[line_size - 1] == '\r')
			line_size--;
		if (line_size == 0)
			return false;
		if (line_size > name_size && line[name_size] == ':' &&
		    strncasecmp(line, name, name_size) == 0 && n-- == 0)
			return copy_value(line + name_size + 1, line_size - name_size - 1,
					  ret_value, room);
		line = line_end + 1;
	}
	return false;
}
