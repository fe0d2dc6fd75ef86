#include "cache/wheel/entry_points.h"

#include "cache/base/cleanup.h"
#include "cache/base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "3", "3.11", "3.13t" or "" behind the name of an interpreter. */
static bool is_version(const char *text)
{
	while (isdigit((unsigned char)*text) || *text == '.')
		text++;
	if (*text == 't' || *text == 'T')
		text++;
	return *text == '\0';
}

bool is_reserved_script_name(const char *name)
{
	static const char *const interpreters[] = { "pythonw", "python", "pypy",
						    "graalpy" };
	char stem[32];
	size_t size = strlen(name);
	size_t cut = size;
	if (size > 3 && strcasecmp(name + size - 3, ".py") == 0)
		cut = size - 3;
	else if (size > 4 && strcasecmp(name + size - 4, ".exe") == 0)
		cut = size - 4;
	if (cut >= sizeof(stem))
		return false;
	memcpy(stem, name, cut);
	stem[cut] = '\0';
	for (size_t i = 0; i < sizeof(interpreters) / sizeof(*interpreters); i++) {
		size_t length = strlen(interpreters[i]);
		if (strncasecmp(stem, interpreters[i], length) == 0 &&
		    is_version(stem + length))
			return true;
	}
	return false;
}

static char *trim(char *text)
{
	text += strspn(text, " \t\r");
	size_t size = strlen(text);
	while (size > 0 && strchr(" \t\r", text[size - 1]))
		text[--size] = '\0';
	return text;
}

/* a.b.c of word characters: what may stand in "from x import y" of a launcher. */
static bool is_dotted_name(const char *text)
{
	bool start = true;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '.' && start)
			return false;
		if (c != '.' && c != '_' && c < 0x80 && !isalnum(c))
			return false;
		if (start && isdigit(c))
			return false;
		start = c == '.';
	}
	return !start;
}

static bool is_script_name(const char *name)
{
	for (const char *p = name; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
			return false;
	}
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       strlen(name) < 200;
}

static int parse_value(char *value, struct entry_point *point)
{
	char *extras = strchr(value, '[');
	if (extras) {
		char *end = strchr(extras, ']');
		if (!end || *trim(end + 1))
			return -EBADMSG;
		*extras = '\0';
	}
	char *colon = strchr(value, ':');
	if (!colon)
		return -EBADMSG;
	*colon = '\0';
	point->module = trim(value);
	point->function = trim(colon + 1);
	return is_dotted_name(point->module) && is_dotted_name(point->function)
		   ? 0
		   : -EBADMSG;
}

static int parse_line(char *line, bool is_gui, struct entry_point *point,
		      struct error *reterr)
{
	char *equals = strchr(line, '=');
	if (!equals)
		return error_set(reterr, -EBADMSG, "entry point '%s' has no value", line);
	*equals = '\0';
	*point = (struct entry_point){ .is_gui = is_gui, .name = trim(line) };
	if (!is_script_name(point->name))
		return error_set(reterr, -EBADMSG,
				 "entry point '%s' is no name for a script", point->name);
	if (is_reserved_script_name(point->name))
		return error_set(reterr, -EBADMSG,
				 "entry point '%s' would take the interpreter's place",
				 point->name);
	if (parse_value(equals + 1, point) < 0)
		return error_set(reterr, -EBADMSG,
				 "entry point '%s' is not of the form module:function",
				 point->name);
	return 0;
}

static int add_point(struct entry_points *points, size_t *room,
		     const struct entry_point *point)
{
	if (points->count == *room) {
		size_t more = *room ? 2 * *room : 16;
		struct entry_point *items =
		    reallocarray(points->items, more, sizeof(*items));
		if (!items)
			return -ENOMEM;
		points->items = items;
		*room = more;
	}
	points->items[points->count++] = *point;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct entry_point *const *x = a;
	const struct entry_point *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static int sort_names(struct entry_points *points, struct error *reterr)
{
	const size_t size = sizeof(struct entry_point *);
	points->by_name = calloc(points->count + 1, size);
	if (!points->by_name)
		return -ENOMEM;
	for (size_t i = 0; i < points->count; i++)
		points->by_name[i] = &points->items[i];
	qsort(points->by_name, points->count, size, compare_names);
	for (size_t i = 1; i < points->count; i++) {
		const char *name = points->by_name[i]->name;
		if (strcmp(points->by_name[i - 1]->name, name) == 0)
			return error_set(reterr, -EBADMSG,
					 "entry point '%s' is there twice", name);
	}
	return 0;
}

bool entry_points_have(const struct entry_points *points, const char *name, size_t size)
{
	size_t low = 0;
	size_t high = points->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *other = points->by_name[middle]->name;
		int order = strncmp(name, other, size);
		if (order == 0 && other[size] == '\0')
			return true;
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

enum section { SECTION_OTHER, SECTION_CONSOLE, SECTION_GUI };

static int parse_lines(struct entry_points *points, struct error *reterr)
{
	enum section section = SECTION_OTHER;
	size_t room = 0;
	char *rest = points->text;
	char *line;
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *text = trim(line);
		if (*text == '\0' || *text == '#' || *text == ';')
			continue;
		if (*text == '[') {
			section = strcmp(text, "[console_scripts]") == 0 ? SECTION_CONSOLE
				  : strcmp(text, "[gui_scripts]") == 0   ? SECTION_GUI
									 : SECTION_OTHER;
			continue;
		}
		if (section == SECTION_OTHER)
			continue;
		struct entry_point point;
		int r = parse_line(text, section == SECTION_GUI, &point, reterr);
		if (r == 0)
			r = add_point(points, &room, &point);
		if (r < 0)
			return r;
	}
	return 0;
}

int entry_points_parse(const char *text, size_t size, struct entry_points *ret,
		       struct error *reterr)
{
	CLEANUP(entry_points_release) struct entry_points points = { .items = NULL };
	if (memchr(text, '\0', size))
		return error_set(reterr, -EBADMSG, "entry_points.txt has a NUL byte");
	if (!utf8_is_valid(text, size))
		return error_set(reterr, -EBADMSG, "entry_points.txt is not UTF-8");
	points.text = strndup(text, size);
	if (!points.text)
		return -ENOMEM;
	int r = parse_lines(&points, reterr);
	if (r == 0)
		r = sort_names(&points, reterr);
	if (r < 0)
		return r;
	*ret = points;
	points = (struct entry_points){ .items = NULL };
	return 0;
}

void entry_points_release(struct entry_points *points)
{
	free(points->items);
	free(points->by_name);
	free(points->text);
	*points = (struct entry_points){ .items = NULL };
}
