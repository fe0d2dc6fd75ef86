#include "cache/env/lock/requirement_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* A line that is nothing but a comment. */
static bool is_comment(const char *line, const char *end)
{
	while (line < end && is_space(*line))
		line++;
	return line < end && *line == '#';
}

/* "a # b" ends behind "a"; "a#b" has no comment. */
static size_t without_comment(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (line[i] == '#' && (i == 0 || is_space(line[i - 1])))
			return i;
	}
	return size;
}

/* Joins what backslashes continue. A comment ends a line that goes on. */
static int join(const char **p, const char *end, struct buffer *out, unsigned *lines)
{
	int r = 0;
	for (bool more = true; more && r == 0 && *p < end; ++*lines) {
		const char *line = *p;
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		*p = stop ? stop + 1 : end;
		stop = stop ? stop : end;
		while (stop > line && stop[-1] == '\r')
			stop--;
		bool comment = is_comment(line, stop);
		more = stop > line && stop[-1] == '\\' && !comment;
		if (comment)
			r = buffer_append_text(out, " ");
		if (r == 0)
			r = buffer_append(out, line, (size_t)(stop - line) - more);
	}
	return r;
}

static bool is_variable_name(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* "${NAME}" at `text`: its size, and the value; 0 when it is none, or not set. */
static size_t variable_at(const char *text, const char **ret_value)
{
	char name[128];
	size_t size = 0;
	if (strncmp(text, "${", 2) != 0)
		return 0;
	while (is_variable_name(text[2 + size]))
		size++;
	if (size == 0 || size >= sizeof(name) || text[2 + size] != '}')
		return 0;
	memcpy(name, text + 2, size);
	name[size] = '\0';
	*ret_value = getenv(name);
	return *ret_value ? size + 3 : 0;
}

static int expand(const char *text, struct buffer *out)
{
	int r = 0;
	while (*text && r == 0) {
		const char *value;
		size_t size = variable_at(text, &value);
		r = size > 0 ? buffer_append_text(out, value)
			     : buffer_append(out, text, 1);
		text += size > 0 ? size : 1;
	}
	return r;
}

bool requirement_text_next(const char **p, const char *end, struct buffer *ret,
			   unsigned *ret_lines, int *ret_error)
{
	cleanup_buffer struct buffer joined = BUFFER_INIT;
	ret->size = 0;
	*ret_lines = 0;
	*ret_error = 0;
	if (*p >= end)
		return false;
	int r = join(p, end, &joined, ret_lines);
	joined.size =
	    r == 0 ? without_comment((const char *)joined.data, joined.size) : 0;
	while (joined.size > 0 && is_space((char)joined.data[joined.size - 1]))
		joined.size--;
	const char *text = r == 0 ? buffer_cstr(&joined) : NULL;
	while (text && is_space(*text))
		text++;
	r = text ? expand(text, ret) : -ENOMEM;
	*ret_error = r < 0 || !buffer_cstr(ret) ? -ENOMEM : 0;
	return *ret_error == 0;
}

size_t requirement_text_options(const char *line)
{
	size_t i = 0;
	for (; line[i]; i++) {
		if (line[i] == '-' && (i == 0 || is_space(line[i - 1])))
			break;
	}
	return i;
}

/* One character of a word, whatever it means, is taken off. */
static int take_character(const char **p, char *quote, struct buffer *out)
{
	char c = *(*p)++;
	if (*quote ? c == *quote : (c == '\'' || c == '"')) {
		*quote = *quote ? '\0' : c;
		return 0;
	}
	if (c == '\\' && *quote != '\'' && **p)
		c = *(*p)++;
	return buffer_append(out, &c, 1);
}

char *requirement_text_word(const char **p, int *ret_error)
{
	cleanup_buffer struct buffer word = BUFFER_INIT;
	char quote = '\0';
	int r = 0;
	*ret_error = 0;
	while (is_space(**p))
		++*p;
	if (!**p)
		return NULL;
	while (r == 0 && **p && (quote || !is_space(**p)))
		r = take_character(p, &quote, &word);
	if (r == 0 && buffer_cstr(&word))
		return buffer_steal(&word);
	*ret_error = -ENOMEM;
	return NULL;
}
