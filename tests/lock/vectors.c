/*
 *   version TEXT               its one spelling
 *   compare A B                -1, 0 or 1
 *   match LIST VERSION         1 or 0
 *   env VALUE*11               of the variables in the order of enum marker_variable
 *   marker EXTRA EXTRAS GROUPS TEXT
 *                              1 or 0; "-" for EXTRA or a set: there is none
 *   requirement TEXT           name|extras|url|specifiers|marker
 *   python NAME MINOR BITS FLAGS MACHINE LIBC LIBC_VERSION SOABI
 *   tags TAGS                  those that fit, the best first, with spaces between
 *
 * What cannot be parsed is answered with "-".
 */
#include "tests/lock/vectors.h"

#include "cache/env/markers/requirement.h"
#include "cache/env/tags.h"
#include "cache/version/specifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TAGS = 512 };

static void answer(struct buffer *out, const char *text)
{
	if (buffer_append_text(out, text) < 0)
		abort();
}

static void answer_number(struct buffer *out, int r)
{
	if (r < -1)
		answer(out, "-");
	else if (buffer_printf(out, "%d", r) < 0)
		abort();
}

static void ask_version(struct vectors *v, char **words, struct buffer *out)
{
	struct version version;
	char text[VERSION_TEXT];
	(void)v;
	if (!version_parse(words[1], strlen(words[1]), &version)) {
		answer(out, "-");
		return;
	}
	version_format(&version, text);
	answer(out, text);
}

static void ask_compare(struct vectors *v, char **words, struct buffer *out)
{
	struct version a;
	struct version b;
	(void)v;
	if (!version_parse(words[1], strlen(words[1]), &a) ||
	    !version_parse(words[2], strlen(words[2]), &b)) {
		answer(out, "-");
		return;
	}
	int r = version_compare(&a, &b);
	answer_number(out, (r > 0) - (r < 0));
}

static void ask_match(struct vectors *v, char **words, struct buffer *out)
{
	struct version version;
	(void)v;
	bool is_version = version_parse(words[2], strlen(words[2]), &version);
	answer_number(out,
		      specifiers_match(words[1], is_version ? &version : NULL, words[2]));
}

static void keep(char *to, const char *from)
{
	(void)snprintf(to, 256, "%s", from);
}

static void set_env(struct vectors *v, char **words, struct buffer *out)
{
	for (int i = 0; i < MARKER_EXTRA; i++) {
		keep(v->texts[i], words[i + 1]);
		v->markers.values[i] = v->texts[i];
	}
	answer(out, "ok");
}

/* "a,b", "" or "-". */
static const struct marker_set *read_set(char *text, const char **names,
					 struct marker_set *set)
{
	*set = (struct marker_set){ .names = names };
	if (strcmp(text, "-") == 0)
		return NULL;
	char *name;
	while (*text && (name = strsep(&text, ",")) != NULL) {
		names[set->count++] = name;
		if (!text)
			break;
	}
	return set;
}

static void ask_marker(struct vectors *v, char **words, struct buffer *out)
{
	const char *names[2][64];
	struct marker_set sets[2];
	bool holds;
	struct marker_environment e = v->markers;
	e.extra = strcmp(words[1], "-") == 0 ? NULL : words[1];
	e.extras = read_set(words[2], names[0], &sets[0]);
	e.groups = read_set(words[3], names[1], &sets[1]);
	int r = marker_evaluate(words[4], &e, &holds, NULL);
	answer(out, r < 0 ? "-" : holds ? "1" : "0");
}

static void ask_requirement(struct vectors *v, char **words, struct buffer *out)
{
	struct requirement q;
	(void)v;
	if (requirement_parse(words[1], &q, NULL) < 0) {
		answer(out, "-");
		return;
	}
	answer(out, q.name);
	for (size_t i = 0; i < q.extra_count; i++) {
		answer(out, i ? "," : "|");
		answer(out, q.extras[i]);
	}
	answer(out, q.extra_count ? "|" : "||");
	answer(out, q.url ? q.url : "");
	answer(out, "|");
	answer(out, q.specifiers);
	answer(out, "|");
	answer(out, q.marker ? q.marker : "");
	requirement_release(&q);
}

static void set_python(struct vectors *v, char **words, struct buffer *out)
{
	char(*t)[256] = v->texts + MOST_WORDS;
	keep(t[0], words[1]);
	keep(t[1], words[5]);
	keep(t[2], words[6]);
	keep(t[3], words[7]);
	keep(t[4], words[8]);
	v->interpreter =
	    (struct interpreter){ .name = t[0],
				  .major = 3,
				  .minor = (int)strtol(words[2], NULL, 10),
				  .pointer_bits = (int)strtol(words[3], NULL, 10),
				  .free_threaded = strchr(words[4], 't') != NULL,
				  .debug = strchr(words[4], 'd') != NULL,
				  .machine = t[1],
				  .libc = t[2],
				  .libc_version = t[3],
				  .soabi = t[4] };
	answer(out, "ok");
}

struct ranked {
	int rank;
	const char *tag;
};

static int compare_ranks(const void *a, const void *b)
{
	const struct ranked *x = a;
	const struct ranked *y = b;
	return (x->rank > y->rank) - (x->rank < y->rank);
}

static void ask_tags(struct vectors *v, char **words, struct buffer *out)
{
	struct ranked found[MOST_TAGS];
	size_t count = 0;
	char *rest = words[1];
	const char *tag;
	while (count < MOST_TAGS && (tag = strsep(&rest, " ")) != NULL) {
		int rank = tag_rank(&v->interpreter, tag);
		if (rank >= 0)
			found[count++] = (struct ranked){ rank, tag };
	}
	qsort(found, count, sizeof(*found), compare_ranks);
	for (size_t i = 0; i < count; i++) {
		answer(out, i ? " " : "");
		answer(out, found[i].tag);
	}
}

void vectors_answer(struct vectors *v, char *line, struct buffer *out)
{
	static const struct {
		const char *name;
		size_t words;
		void (*ask)(struct vectors *v, char **words, struct buffer *out);
	} questions[] = {
		{ "version", 2, ask_version }, { "compare", 3, ask_compare },
		{ "match", 3, ask_match },     { "env", 12, set_env },
		{ "marker", 5, ask_marker },   { "requirement", 2, ask_requirement },
		{ "python", 9, set_python },   { "tags", 2, ask_tags }
	};
	char *words[MOST_WORDS];
	size_t count = 0;
	char *word;
	while (count < MOST_WORDS && (word = strsep(&line, "\t")) != NULL)
		words[count++] = word;
	for (size_t i = 0; i < sizeof(questions) / sizeof(*questions); i++) {
		if (count == questions[i].words &&
		    strcmp(words[0], questions[i].name) == 0) {
			questions[i].ask(v, words, out);
			return;
		}
	}
	answer(out, "?");
}
