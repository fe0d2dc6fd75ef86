#include "cache/source/ini.h"

#include "cache/base/bytes.h"
#include "cache/source/words.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

struct reader {
	ini_visit *visit;
	void *context;
	char *section; /* points into the text */
	char *key;     /* of the value that is being read, or NULL */
	struct buffer value;
};

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t size = strlen(text);
	while (size > 0 && isspace((unsigned char)text[size - 1]))
		text[--size] = '\0';
	return text;
}

static int end_value(struct reader *r)
{
	const char *value = buffer_cstr(&r->value);
	if (!value)
		return -ENOMEM;
	int result = r->key ? r->visit(r->context, r->section, r->key, value) : 0;
	r->key = NULL;
	r->value.size = 0;
	return result;
}

static int begin_value(struct reader *r, char *line)
{
	char *delimiter = strpbrk(line, "=:");
	if (!delimiter || delimiter == line)
		return -EBADMSG;
	*delimiter = '\0';
	r->key = trim(line);
	for (char *p = r->key; *p; p++)
		*p = *p == '_' ? '-' : char_lower(*p);
	return buffer_append_text(&r->value, trim(delimiter + 1));
}

static int take_line(struct reader *r, char *line)
{
	bool indented = isspace((unsigned char)*line);
	char *text = trim(line);
	if (*text == '\0' || *text == '#' || *text == ';')
		return 0;
	if (indented && r->key) {
		int result = buffer_append_text(&r->value, "\n");
		return result < 0 ? result : buffer_append_text(&r->value, text);
	}
	int result = end_value(r);
	if (result < 0)
		return result;
	if (*text != '[')
		return r->section ? begin_value(r, text) : -EBADMSG;
	char *end = strchr(text, ']');
	if (!end)
		return -EBADMSG;
	*end = '\0';
	r->section = text + 1;
	return 0;
}

int ini_parse(const char *text, size_t size, ini_visit *visit, void *context,
	      struct error *reterr)
{
	cleanup_buffer struct buffer copy = BUFFER_INIT;
	struct reader reader = { .visit = visit, .context = context };
	int result = buffer_append(&copy, text, size);
	if (result < 0 || !buffer_cstr(&copy))
		return -ENOMEM;
	char *rest = (char *)copy.data;
	char *line;
	if (strncmp(rest, "\xef\xbb\xbf", 3) == 0)
		rest += 3;
	for (unsigned number = 1; result == 0 && (line = strsep(&rest, "\n")); number++) {
		result = take_line(&reader, line);
		if (result == -EBADMSG)
			(void)error_set(reterr, result,
					"line %u is neither [section] nor key = value",
					number);
	}
	if (result == 0)
		result = end_value(&reader);
	buffer_release(&reader.value);
	return result;
}
