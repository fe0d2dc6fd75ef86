#include "cache/env/lock/requirement_lines.h"

#include "cache/base/file.h"
#include "cache/base/shown.h"
#include "cache/base/utf8.h"
#include "cache/env/lock/requirement_text.h"
#include "cache/source/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 16, MOST_LINES = 100000 };

/* One file that is being read. */
struct source {
	struct reading *r;
	struct requirement_lines *lines;
	const char *path, *folder;
	unsigned line;
	bool constraint;
	int depth;
};

enum option {
	OPTION_INCLUDE,
	OPTION_CONSTRAIN,
	OPTION_EDITABLE,
	OPTION_INDEX,
	OPTION_EXTRA_INDEX,
	OPTION_NO_INDEX,
	OPTION_FIND_LINKS,
	OPTION_NO_BINARY,
	OPTION_ONLY_BINARY,
	OPTION_PRE,
	OPTION_REQUIRE_HASHES,
	OPTION_HASH,
	OPTION_VALUE_IGNORED, /* what matters to a build, or to pip alone */
	OPTION_FLAG_IGNORED,
};

static const struct {
	const char *name;
	char letter;
	enum option option;
	bool has_value;
} options[] = {
	{ "requirement", 'r', OPTION_INCLUDE, true },
	{ "requirements", 0, OPTION_INCLUDE, true },
	{ "constraint", 'c', OPTION_CONSTRAIN, true },
	{ "editable", 'e', OPTION_EDITABLE, true },
	{ "index-url", 'i', OPTION_INDEX, true },
	{ "pypi-url", 0, OPTION_INDEX, true },
	{ "extra-index-url", 0, OPTION_EXTRA_INDEX, true },
	{ "no-index", 0, OPTION_NO_INDEX, false },
	{ "find-links", 'f', OPTION_FIND_LINKS, true },
	{ "no-binary", 0, OPTION_NO_BINARY, true },
	{ "only-binary", 0, OPTION_ONLY_BINARY, true },
	{ "pre", 0, OPTION_PRE, false },
	{ "require-hashes", 0, OPTION_REQUIRE_HASHES, false },
	{ "hash", 0, OPTION_HASH, true },
	{ "trusted-host", 0, OPTION_VALUE_IGNORED, true },
	{ "use-feature", 0, OPTION_VALUE_IGNORED, true },
	{ "config-settings", 'C', OPTION_VALUE_IGNORED, true },
	{ "config-setting", 0, OPTION_VALUE_IGNORED, true },
	{ "global-option", 0, OPTION_VALUE_IGNORED, true },
	{ "prefer-binary", 0, OPTION_FLAG_IGNORED, false },
};
enum { OPTIONS = sizeof(options) / sizeof(*options) };

static int refuse(const struct source *s, const char *what, const char *why)
{
	cleanup_free char *shown = text_shown(what);
	return error_set(s->r->reterr, -EBADMSG, "'%s', line %u: '%.200s' %s", s->path,
			 s->line, shown ? shown : "", why);
}

static int read_file(struct source *s);

static int include(const struct source *s, const char *name, bool constraint)
{
	cleanup_free char *path = fill_clean_path(s->folder, name);
	cleanup_free char *folder = path ? fill_clean_path(path, "..") : NULL;
	if (strstr(name, "://"))
		return refuse(s, name,
			      "is a URL, and locks are not fetched: download it first");
	if (s->depth == DEEPEST)
		return refuse(s, name, "is included too deeply, or by itself");
	struct source inner = { .r = s->r,
				.lines = s->lines,
				.path = path,
				.folder = folder,
				.constraint = s->constraint || constraint,
				.depth = s->depth + 1 };
	return folder ? read_file(&inner) : -ENOMEM;
}

static int add_text(const struct source *s, char ***texts, size_t *count,
		    const char *value)
{
	char **more = realloc(*texts, (*count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	*texts = more;
	int r = fill_text(s->r, value, &more[*count]);
	*count += r == 0;
	return r;
}

/* A URL, or a folder from where the file lies. */
static int add_links(const struct source *s, const char *value)
{
	struct wanted_indexes *to = &s->r->wanted->indexes;
	bool is_url = strstr(value, "://") != NULL;
	cleanup_free char *path =
	    is_url ? strdup(value) : fill_clean_path(s->folder, value);
	return path ? add_text(s, &to->find_links, &to->find_count, path) : -ENOMEM;
}

static int set_index(const struct source *s, const char *value)
{
	struct wanted_indexes *to = &s->r->wanted->indexes;
	free(to->index_url);
	to->index_url = NULL;
	return fill_text(s->r, value, &to->index_url);
}

/* ":none:" takes back what stood before; names may be a list with commas. */
static int add_formats(struct name_list *to, const char *value)
{
	cleanup_free char *copy = strdup(value);
	char *rest = copy;
	const char *name;
	int r = copy ? 0 : -ENOMEM;
	while (r == 0 && (name = strsep(&rest, ",")) != NULL) {
		if (strcmp(name, ":none:") == 0)
			name_list_release(to);
		else
			r = name_list_add(to, name);
	}
	return r;
}

static int add_line(const struct source *s, const char *text, bool editable)
{
	struct requirement_lines *l = s->lines;
	if (l->count == MOST_LINES)
		return refuse(s, text, "is one requirement too many");
	struct requirement_line *more = realloc(l->items, (l->count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	l->items = more;
	more[l->count] = (struct requirement_line){ .text = strdup(text),
						    .file = strdup(s->path),
						    .line = s->line,
						    .editable = editable,
						    .constraint = s->constraint };
	l->count++;
	return more[l->count - 1].text && more[l->count - 1].file ? 0 : -ENOMEM;
}

/* Belongs to the requirement that was added last. */
static int add_hash(const struct source *s, const char *value)
{
	struct requirement_lines *l = s->lines;
	struct requirement_line *line = l->count > 0 ? &l->items[l->count - 1] : NULL;
	if (!line || line->line != s->line)
		return refuse(s, value, "is a hash without a requirement");
	cleanup_free char *algorithm = strndup(value, strcspn(value, ":"));
	if (!algorithm)
		return -ENOMEM;
	if (!check_knows(algorithm))
		return refuse(s, value,
			      "is none of sha256, sha384 and sha512; pin it by sha256");
	struct wanted_bytes *more =
	    realloc(line->hashes, (line->hash_count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	line->hashes = more;
	more[line->hash_count] = (struct wanted_bytes){ .size = -1 };
	return fill_hash_text(s->r, value, &more[line->hash_count++]);
}

static int take_option(const struct source *s, enum option option, const char *value)
{
	struct wanted *w = s->r->wanted;
	switch (option) {
	case OPTION_INCLUDE:
		return include(s, value, false);
	case OPTION_CONSTRAIN:
		return include(s, value, true);
	case OPTION_EDITABLE:
		return add_line(s, value, true);
	case OPTION_INDEX:
		return set_index(s, value);
	case OPTION_EXTRA_INDEX:
		return add_text(s, &w->indexes.extra_urls, &w->indexes.extra_count,
				value);
	case OPTION_FIND_LINKS:
		return add_links(s, value);
	case OPTION_NO_BINARY:
		return add_formats(&s->lines->no_binary, value);
	case OPTION_ONLY_BINARY:
		return add_formats(&s->lines->only_binary, value);
	case OPTION_HASH:
		return add_hash(s, value);
	case OPTION_NO_INDEX:
		w->indexes.no_index = true;
		return 0;
	case OPTION_PRE:
		w->indexes.prefer_prereleases = true;
		return 0;
	case OPTION_REQUIRE_HASHES:
		w->require_hashes = true;
		return 0;
	case OPTION_VALUE_IGNORED:
	case OPTION_FLAG_IGNORED:
	default:
		return 0;
	}
}

/* "--name", "--name=value", "-n", "-nvalue": which one; OPTIONS when it is none. */
static size_t find_option(const char *word, const char **ret_value)
{
	size_t i = 0;
	*ret_value = NULL;
	if (word[0] == '-' && word[1] != '-') {
		while (i < OPTIONS && (!word[1] || options[i].letter != word[1]))
			i++;
		*ret_value = i < OPTIONS && word[2] ? word + 2 : NULL;
		return i;
	}
	size_t size = strcspn(word, "=");
	for (; i < OPTIONS; i++) {
		if (strlen(options[i].name) == size - 2 &&
		    strncmp(word + 2, options[i].name, size - 2) == 0)
			break;
	}
	*ret_value = word[size] == '=' ? word + size + 1 : NULL;
	return i;
}

/* -e takes the rest of its line, markers included, up to the next option. */
static int take_editable(const struct source *s, const char **p, const char *value)
{
	while (**p == ' ' || **p == '\t')
		++*p;
	size_t size = requirement_text_options(*p);
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int r = value ? buffer_printf(&text, "%s ", value) : 0;
	if (r == 0)
		r = buffer_append(&text, *p, size);
	*p += size;
	const char *all = r == 0 ? buffer_cstr(&text) : NULL;
	return all ? add_line(s, all, true) : -ENOMEM;
}

/* The option that `word` is, with what follows it at *p. */
static int take_word(const struct source *s, const char *word, const char **p)
{
	int r = 0;
	const char *value;
	cleanup_free char *next = NULL;
	size_t i = word[0] == '-' ? find_option(word, &value) : OPTIONS;
	if (i == OPTIONS)
		return refuse(s, word, "is not known in a requirements file");
	if (options[i].option == OPTION_EDITABLE)
		return take_editable(s, p, value);
	if (options[i].has_value && !value)
		value = next = requirement_text_word(p, &r);
	if (r == 0 && options[i].has_value && !value)
		return refuse(s, word, "lacks its value");
	return r == 0 ? take_option(s, options[i].option, value) : r;
}

static int take_options(const struct source *s, const char *text)
{
	int r = 0;
	const char *p = text;
	while (r == 0) {
		cleanup_free char *word = requirement_text_word(&p, &r);
		if (!word)
			return r;
		r = take_word(s, word, &p);
	}
	return r;
}

static int take_line(const struct source *s, char *line)
{
	size_t size = requirement_text_options(line);
	cleanup_free char *text = strndup(line, size);
	if (!text)
		return -ENOMEM;
	while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
		text[--size] = '\0';
	int r = size > 0 ? add_line(s, text, false) : 0;
	return r == 0 ? take_options(s, line + requirement_text_options(line)) : r;
}

static int read_file(struct source *s)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_buffer struct buffer line = BUFFER_INIT;
	int r = fill_read_file(s->r, s->path, &text);
	if (r < 0)
		return r;
	const char *p = (const char *)text.data;
	const char *end = p + text.size;
	unsigned lines;
	s->line = 1;
	if (text.size > 0 && !utf8_is_valid(p, text.size))
		return error_set(s->r->reterr, -EBADMSG, "'%s' is not UTF-8", s->path);
	if (text.size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3;
	while (r == 0 && requirement_text_next(&p, end, &line, &lines, &r)) {
		char *one = (char *)line.data;
		if (strlen(one) != line.size)
			return refuse(s, one, "has a NUL character behind it");
		r = take_line(s, one);
		s->line += lines;
	}
	return r;
}

int requirement_lines_read(struct reading *r, struct requirement_lines *ret)
{
	struct source s = {
		.r = r, .lines = ret, .path = r->file->path, .folder = r->file->folder
	};
	return read_file(&s);
}

void requirement_lines_release(struct requirement_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++) {
		struct requirement_line *line = &lines->items[i];
		free(line->text);
		free(line->file);
		for (size_t k = 0; k < line->hash_count; k++)
			wanted_bytes_release(&line->hashes[k]);
		free(line->hashes);
	}
	free(lines->items);
	name_list_release(&lines->no_binary);
	name_list_release(&lines->only_binary);
}
