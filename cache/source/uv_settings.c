#include "cache/source/uv_settings.h"

#include "cache/base/cleanup.h"
#include "cache/source/texts.h"
#include "cache/source/words.h"

#include <ctype.h>

int uv_settings_add_index(struct uv_settings *s, const struct uv_index *index)
{
	struct uv_index *more =
	    reallocarray(s->indexes, s->index_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->indexes = more;
	struct uv_index copy = *index;
	copy.name = index->name ? strdup(index->name) : NULL;
	copy.url = strdup(index->url);
	if (!copy.url || (index->name && !copy.name)) {
		free(copy.name);
		free(copy.url);
		return -ENOMEM;
	}
	more[s->index_count++] = copy;
	return 0;
}

int uv_settings_add_extra_url(struct uv_settings *s, const char *url)
{
	return texts_add(&s->extra_urls, &s->extra_count, url);
}

int uv_settings_add_find_links(struct uv_settings *s, const char *place)
{
	return texts_add(&s->find_links, &s->find_count, place);
}

int uv_settings_add_insecure_host(struct uv_settings *s, const char *host)
{
	return texts_add(&s->insecure_hosts, &s->insecure_count, host);
}

void uv_settings_release(struct uv_settings *s)
{
	for (size_t i = 0; i < s->index_count; i++) {
		free(s->indexes[i].name);
		free(s->indexes[i].url);
	}
	free(s->indexes);
	texts_free(s->extra_urls, s->extra_count);
	texts_free(s->find_links, s->find_count);
	texts_free(s->insecure_hosts, s->insecure_count);
	free(s->index_url);
	free(s->cache_dir);
	free(s->index_strategy);
	free(s->python_preference);
	*s = (struct uv_settings){ .indexes = NULL };
}

/* "name=https://..." or a URL alone. */
static int add_named(struct uv_settings *s, const char *text, bool is_default)
{
	size_t size = 0;
	while (isalnum((unsigned char)text[size]) ||
	       (text[size] && strchr("._-", text[size])))
		size++;
	bool named = size > 0 && text[size] == '=';
	cleanup_free char *name = named ? strndup(text, size) : NULL;
	cleanup_free char *url = strdup(named ? text + size + 1 : text);
	if (!url || (named && !name))
		return -ENOMEM;
	struct uv_index index = { .name = name, .url = url, .is_default = is_default };
	return uv_settings_add_index(s, &index);
}

static int add_index_word(void *context, const char *word)
{
	return add_named(context, word, false);
}

static int add_extra_word(void *context, const char *word)
{
	return uv_settings_add_extra_url(context, word);
}

static int add_find_word(void *context, const char *word)
{
	return uv_settings_add_find_links(context, word);
}

static int add_host_word(void *context, const char *word)
{
	return uv_settings_add_insecure_host(context, word);
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static bool is_on(const char *name)
{
	const char *value = variable(name);
	return value && word_is_on(value);
}

static int set(char **text, const char *name)
{
	const char *value = variable(name);
	char *copy = value ? strdup(value) : NULL;
	if (!value)
		return 0;
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

/* What the environment says stands before what files say. */
static int append_indexes(struct uv_settings *s, const struct uv_settings *after)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < after->index_count; i++)
		r = uv_settings_add_index(s, &after->indexes[i]);
	for (size_t i = 0; r == 0 && i < after->extra_count; i++)
		r = uv_settings_add_extra_url(s, after->extra_urls[i]);
	for (size_t i = 0; r == 0 && i < after->find_count; i++)
		r = uv_settings_add_find_links(s, after->find_links[i]);
	for (size_t i = 0; r == 0 && i < after->insecure_count; i++)
		r = uv_settings_add_insecure_host(s, after->insecure_hosts[i]);
	return r;
}

int uv_settings_add_environment(struct uv_settings *s)
{
	CLEANUP(uv_settings_release) struct uv_settings first = { .indexes = NULL };
	const char *chosen = variable("UV_DEFAULT_INDEX");
	if (!chosen)
		chosen = variable("UV_INDEX_URL");
	int r = words_each(variable("UV_INDEX"), " \n\t", add_index_word, &first);
	if (r == 0 && chosen)
		r = add_named(&first, chosen, true);
	if (r == 0)
		r = words_each(variable("UV_EXTRA_INDEX_URL"), " \n\t", add_extra_word,
			       &first);
	if (r == 0)
		r = words_each(variable("UV_FIND_LINKS"), ",", add_find_word, &first);
	if (r == 0)
		r = words_each(variable("UV_INSECURE_HOST"), " \n\t", add_host_word,
			       &first);
	if (r == 0)
		r = append_indexes(&first, s);
	if (r == 0)
		r = set(&s->cache_dir, "UV_CACHE_DIR");
	if (r == 0)
		r = set(&s->index_strategy, "UV_INDEX_STRATEGY");
	if (r < 0)
		return r;
	struct uv_settings files = *s;
	*s = first;
	first = files;
	s->index_url = steal_ptr(first.index_url);
	s->cache_dir = steal_ptr(first.cache_dir);
	s->index_strategy = steal_ptr(first.index_strategy);
	s->python_preference = steal_ptr(first.python_preference);
	s->no_index = first.no_index || is_on("UV_NO_INDEX");
	s->offline = first.offline || is_on("UV_OFFLINE");
	s->no_cache = first.no_cache || is_on("UV_NO_CACHE");
	return 0;
}
