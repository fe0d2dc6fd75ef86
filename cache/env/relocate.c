#include "cache/env/relocate.h"

#include "cache/env/launcher.h"
#include "cache/env/quote.h"
#include "cache/env/skeleton.h"
#include "cache/wheel/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Appends `text` with each `from` in it replaced. Returns how often, or -ENOMEM. */
static int replace_all(struct buffer *out, const struct buffer *text,
		       const struct buffer *from, const struct buffer *to)
{
	const uint8_t *p = text->data;
	const uint8_t *end = p + text->size;
	int count = 0;
	const uint8_t *at;
	while (p < end &&
	       (at = memmem(p, (size_t)(end - p), from->data, from->size)) != NULL) {
		int r = buffer_append(out, p, (size_t)(at - p));
		if (r == 0)
			r = buffer_append(out, to->data, to->size);
		if (r < 0)
			return r;
		p = at + from->size;
		count++;
	}
	int r = buffer_append(out, p, (size_t)(end - p));
	return r < 0 ? r : count;
}

/* One that nobody changed is made as for a mount there, as its prompt moves too. */
static int relocate_activation(const struct relocation *l, const char *name,
			       enum quoting quoting, const struct buffer *text,
			       struct buffer *out)
{
	cleanup_buffer struct buffer made = BUFFER_INIT;
	cleanup_buffer struct buffer from = BUFFER_INIT;
	cleanup_buffer struct buffer to = BUFFER_INIT;
	int r = skeleton_activation(&made, name, l->from, l->site_packages);
	if (r == 0 && made.size == text->size &&
	    memcmp(made.data, text->data, made.size) == 0) {
		r = skeleton_activation(out, name, l->to, l->site_packages);
		return r < 0 ? r : 1;
	}
	if (r == 0)
		r = quote_append(&from, quoting, l->from);
	if (r == 0)
		r = quote_append(&to, quoting, l->to);
	if (r == 0)
		r = replace_all(out, text, &from, &to);
	return r < 0 ? r : r > 0;
}

static bool starts_with(const char *p, const char *end, const char *prefix)
{
	size_t size = strlen(prefix);
	return (size_t)(end - p) >= size && memcmp(p, prefix, size) == 0;
}

/*
 * The program's name in <from>/bin/<name>, as one of the ways of sh to write a word has
 * it; 0: it is another word.
 */
static size_t name_in_word(const char *p, const char *end, const char *prefix,
			   const char *stops, const char **ret_name)
{
	if (!starts_with(p, end, prefix))
		return 0;
	p += strlen(prefix);
	size_t size = 0;
	while (p + size < end && !strchr(stops, p[size]) && p[size] != '\n')
		size++;
	*ret_name = p;
	return memchr(p, '/', size) ? 0 : size;
}

/* "<from>/bin/" as sh's words begin with it: 'it, "it and it. */
static int word_prefixes(const char *from, char *ret_prefixes[3])
{
	cleanup_buffer struct buffer bin = BUFFER_INIT;
	cleanup_buffer struct buffer quoted = BUFFER_INIT;
	int r = buffer_printf(&bin, "%s/bin/", from);
	const char *path = r == 0 ? buffer_cstr(&bin) : NULL;
	if (!path || quote_append(&quoted, QUOTE_SH, path) < 0)
		return -ENOMEM;
	quoted.size--; /* the word goes on */
	ret_prefixes[0] = buffer_cstr(&quoted) ? buffer_steal(&quoted) : NULL;
	if (asprintf(&ret_prefixes[1], "\"%s", path) < 0)
		ret_prefixes[1] = NULL;
	ret_prefixes[2] = strdup(path);
	return ret_prefixes[0] && ret_prefixes[1] && ret_prefixes[2] ? 0 : -ENOMEM;
}

/* Where the first line, or what sh runs in its place, ends; and which program it is. */
static const char *find_program(const char *text, const char *end, char *const words[3],
				const char **ret_name, size_t *ret_size)
{
	static const char *const stops[] = { "'", "\"", " \t" };
	static const char sh[] = "#!/bin/sh\n'''exec' ";
	static const char sh_end[] = "\n' '''\n";
	if (starts_with(text, end, "#!") && !starts_with(text, end, sh)) {
		*ret_size = name_in_word(text + 2, end, words[2], " \t", ret_name);
		const char *line = *ret_size ? *ret_name + *ret_size : NULL;
		/* With arguments it is not of an installer's making. */
		return line && line < end && *line == '\n' ? line + 1 : NULL;
	}
	if (!starts_with(text, end, sh))
		return NULL;
	const char *word = text + strlen(sh);
	const char *last = memmem(word, (size_t)(end - word), sh_end, strlen(sh_end));
	for (size_t i = 0; last && i < 3; i++) {
		*ret_size = name_in_word(word, last, words[i], stops[i], ret_name);
		if (*ret_size > 0)
			return last + strlen(sh_end);
	}
	return NULL;
}

static int relocate_launcher(const struct relocation *l, const struct buffer *text,
			     struct buffer *out)
{
	char *words[3] = { NULL, NULL, NULL };
	cleanup_buffer struct buffer python = BUFFER_INIT;
	const char *start = (const char *)text->data;
	const char *end = start + text->size;
	const char *name;
	size_t size = 0;
	int r = word_prefixes(l->from, words);
	const char *rest = r == 0 ? find_program(start, end, words, &name, &size) : NULL;
	if (rest)
		r = buffer_printf(&python, "%s/bin/%.*s", l->to, (int)size, name);
	for (size_t i = 0; i < 3; i++)
		free(words[i]);
	if (r < 0 || !rest)
		return r;
	const char *path = buffer_cstr(&python);
	r = path ? launcher_shebang(out, path) : -ENOMEM;
	if (r == 0)
		r = buffer_append(out, rest, (size_t)(end - rest));
	return r < 0 ? r : 1;
}

int relocate_script(const struct relocation *l, const char *name,
		    const struct buffer *text, struct buffer *out)
{
	enum quoting quoting;
	if (skeleton_is_activation(name, &quoting))
		return relocate_activation(l, name, quoting, text, out);
	return relocate_launcher(l, text, out);
}

/* The file that a row is of; NULL: none of them. */
static const struct relocated *find_row(const char *line, size_t size,
					const struct relocated *files, size_t count)
{
	static const char bin[] = "../../../bin/";
	bool quoted = size > 0 && *line == '"';
	line += quoted;
	size -= quoted;
	for (size_t i = 0; i < count; i++) {
		size_t name = strlen(files[i].name);
		if (size > strlen(bin) + name && memcmp(line, bin, strlen(bin)) == 0 &&
		    memcmp(line + strlen(bin), files[i].name, name) == 0 &&
		    line[strlen(bin) + name] == (quoted ? '"' : ','))
			return &files[i];
	}
	return NULL;
}

/* A row without a hash stays so; how lines end is kept. */
static int append_row(struct buffer *out, const char *line, size_t size,
		      const struct relocated *file)
{
	char path[300];
	bool has_hash = memmem(line, size, ",sha256=", 8) != NULL;
	if (!file || !has_hash)
		return buffer_append(out, line, size);
	(void)snprintf(path, sizeof(path), "../../../bin/%s", file->name);
	int r = record_append(out, path, &file->sha256, file->size);
	if (r == 0 && size >= 2 && line[size - 2] == '\r') {
		out->size--;
		r = buffer_append(out, "\r\n", 2);
	}
	return r;
}

int relocate_record(const struct buffer *text, const struct relocated *files,
		    size_t count, struct buffer *out)
{
	const char *p = (const char *)text->data;
	const char *end = p + text->size;
	int changed = 0;
	while (p < end) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));
		size_t size = (size_t)((line_end ? line_end + 1 : end) - p);
		const struct relocated *file = find_row(p, size, files, count);
		int r = append_row(out, p, size, file);
		if (r < 0)
			return r;
		changed |= file != NULL;
		p += size;
	}
	return changed;
}
