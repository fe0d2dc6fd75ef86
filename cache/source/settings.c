#include "cache/source/settings.h"

#include "cache/base/file.h"
#include "cache/base/shown.h"
#include "cache/source/pip_settings.h"
#include "cache/source/texts.h"
#include "cache/source/url.h"
#include "cache/source/uv_files.h"
#include "cache/source/words.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
	RETRIES = 3,   /* uv's */
	SECONDS = 30,  /* uv's */
	PARALLEL = 16, /* uv's 50 helps no server; 16 fill any line */
	PARALLEL_MOST = 64,
};

void source_settings_release(struct source_settings *s)
{
	for (size_t i = 0; i < s->index_count; i++) {
		free(s->indexes[i].url);
		free(s->indexes[i].user);
		free(s->indexes[i].password);
	}
	free(s->indexes);
	texts_free(s->find_links, s->find_count);
	texts_free(s->insecure_hosts, s->insecure_count);
	free(s->uv_cache);
	free(s->pip_cache);
	free(s->ca_file);
	free(s->ca_folder);
	free(s->client_certificate);
	free(s->proxy);
	free(s->http_proxy);
	free(s->netrc);
	*s = (struct source_settings){ .offline = true };
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

/* *text becomes a copy of the first that is there. */
static int set(char **text, const char *a, const char *b)
{
	const char *value = a ? a : b;
	if (!value)
		return 0;
	*text = strdup(value);
	return *text ? 0 : -ENOMEM;
}

/* UV_INDEX_<NAME>_USERNAME and _PASSWORD. */
static int set_login(struct source_index *index, const char *name)
{
	static const char *const ends[] = { "USERNAME", "PASSWORD" };
	char **places[] = { &index->user, &index->password };
	int r = 0;
	for (size_t i = 0; name && r == 0 && i < 2; i++) {
		char key[300];
		(void)snprintf(key, sizeof(key), "UV_INDEX_%.200s_%s", name, ends[i]);
		for (char *p = key; *p; p++)
			*p = isalnum((unsigned char)*p) ? char_upper(*p) : '_';
		r = set(places[i], variable(key), NULL);
	}
	return r;
}

/* A folder's path is made absolute; a URL stays. */
static int add_place(struct source_settings *s, const char *place, struct error *reterr)
{
	cleanup_free char *named = url_file_path(place);
	cleanup_free char *path = NULL;
	if (url_is_http(place))
		return texts_add(&s->find_links, &s->find_count, place);
	int r = path_canonical(named ? named : place, &path, reterr);
	return r < 0 ? r : texts_add(&s->find_links, &s->find_count, path);
}

/* "example.org/simple" is neither a URL nor, most likely, a folder. */
static int check_index(const char *url, struct error *reterr)
{
	cleanup_free char *path = url_file_path(url);
	struct stat st;
	if (url_is_http(url) || path || stat(url, &st) == 0)
		return 0;
	cleanup_free char *shown = url_shown(url);
	return error_set(reterr, -EINVAL,
			 "the index '%s' is neither a URL nor a folder: http:// or "
			 "https:// is missing before it",
			 shown ? shown : "");
}

static int add_index(struct source_settings *s, const struct uv_index *index,
		     struct error *reterr)
{
	int r = check_index(index->url, reterr);
	if (r < 0)
		return r;
	if (index->flat || !url_is_http(index->url))
		return add_place(s, index->url, reterr);
	struct source_index *more =
	    reallocarray(s->indexes, s->index_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->indexes = more;
	struct source_index *ours = &more[s->index_count];
	*ours = (struct source_index){ .url = strdup(index->url),
				       .explicit_only = index->explicit_only };
	if (!ours->url)
		return -ENOMEM;
	s->index_count++;
	return set_login(ours, index->name);
}

static int add_url(struct source_settings *s, const char *url, struct error *reterr)
{
	cleanup_free char *copy = strdup(url);
	struct uv_index index = { .url = copy };
	return copy ? add_index(s, &index, reterr) : -ENOMEM;
}

/* What was said comes first; of indexes, the one in place of the default comes last. */
static int add_said(struct source_settings *s, const struct wanted_indexes *said,
		    struct error *reterr)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < said->extra_count; i++)
		r = add_url(s, said->extra_urls[i], reterr);
	for (size_t i = 0; r == 0 && i < said->find_count; i++)
		r = add_place(s, said->find_links[i], reterr);
	return r;
}

/* uv's order: the named ones, the extra ones, and the default last. */
static int add_uv(struct source_settings *s, const struct uv_settings *uv,
		  const char *said_default, struct error *reterr)
{
	const struct uv_index *chosen = NULL;
	int r = 0;
	for (size_t i = 0; r == 0 && i < uv->index_count; i++) {
		const struct uv_index *index = &uv->indexes[i];
		if (!index->is_default)
			r = add_index(s, index, reterr);
		else if (!chosen)
			chosen = index;
	}
	for (size_t i = 0; r == 0 && i < uv->extra_count; i++)
		r = add_url(s, uv->extra_urls[i], reterr);
	for (size_t i = 0; r == 0 && i < uv->find_count; i++)
		r = add_place(s, uv->find_links[i], reterr);
	if (r == 0 && said_default)
		return add_url(s, said_default, reterr);
	if (r == 0 && chosen)
		return add_index(s, chosen, reterr);
	return r == 0 && uv->index_url ? add_url(s, uv->index_url, reterr) : r;
}

struct adder {
	struct source_settings *settings;
	struct error *reterr;
};

static int add_url_word(void *context, const char *word)
{
	const struct adder *a = context;
	return add_url(a->settings, word, a->reterr);
}

static int add_place_word(void *context, const char *word)
{
	const struct adder *a = context;
	return add_place(a->settings, word, a->reterr);
}

static int add_host_word(void *context, const char *word)
{
	const struct adder *a = context;
	return texts_add(&a->settings->insecure_hosts, &a->settings->insecure_count,
			 word);
}

/* pip's order. */
static int add_pip(struct source_settings *s, const struct pip_settings *pip,
		   const char *said_default, struct error *reterr)
{
	struct adder adder = { s, reterr };
	const char *first = said_default ? said_default : pip->values[PIP_INDEX_URL];
	int r = first ? add_url(s, first, reterr) : 0;
	if (r == 0)
		r = words_each(pip->values[PIP_EXTRA_INDEX_URL], " \t\n", add_url_word,
			       &adder);
	return r < 0 ? r
		     : words_each(pip->values[PIP_FIND_LINKS], " \t\n", add_place_word,
				  &adder);
}

static bool uv_says(const struct uv_settings *uv)
{
	return uv->index_count > 0 || uv->index_url || uv->extra_count > 0 ||
	       uv->find_count > 0 || uv->no_index;
}

static void drop_indexes(struct source_settings *s)
{
	for (size_t i = 0; i < s->index_count; i++) {
		free(s->indexes[i].url);
		free(s->indexes[i].user);
		free(s->indexes[i].password);
	}
	s->index_count = 0;
}

static int set_places(struct source_settings *s, const struct uv_settings *uv,
		      const struct pip_settings *pip, const struct wanted_indexes *said,
		      struct error *reterr)
{
	const char *said_default = said ? said->index_url : NULL;
	int r = said ? add_said(s, said, reterr) : 0;
	bool from_uv = uv_says(uv);
	if (r == 0)
		r = from_uv ? add_uv(s, uv, said_default, reterr)
			    : add_pip(s, pip, said_default, reterr);
	bool none = from_uv ? uv->no_index : pip_settings_is_on(pip, PIP_NO_INDEX);
	if ((none && !said_default) || (said && said->no_index))
		drop_indexes(s);
	return r;
}

static int set_cache(char **ret, const char *named, const char *name)
{
	const char *xdg = variable("XDG_CACHE_HOME");
	const char *home = variable("HOME");
	if (named)
		return set(ret, named, NULL);
	if (xdg && *xdg == '/')
		*ret = path_join(xdg, name);
	else if (!home || asprintf(ret, "%s/.cache/%s", home, name) < 0)
		*ret = NULL;
	return *ret || !home ? 0 : -ENOMEM;
}

static int set_caches(struct source_settings *s, const struct uv_settings *uv,
		      const struct pip_settings *pip)
{
	int r = uv->no_cache ? 0 : set_cache(&s->uv_cache, uv->cache_dir, "uv");
	/* pip takes any value of it for yes, but for those that say no. */
	const char *no_cache = pip->values[PIP_NO_CACHE_DIR];
	if (r < 0 || (no_cache && word_is_on(no_cache)))
		return r;
	return set_cache(&s->pip_cache, pip->values[PIP_CACHE_DIR], "pip");
}

/* A bundle's path may be one of a folder, as requests has it. */
static int set_trust(struct source_settings *s, const struct pip_settings *pip)
{
	const char *bundle = variable("SSL_CERT_FILE");
	struct stat st;
	if (!bundle)
		bundle = pip->values[PIP_CERT];
	if (!bundle)
		bundle = variable("REQUESTS_CA_BUNDLE");
	if (!bundle)
		bundle = variable("CURL_CA_BUNDLE");
	int r = 0;
	if (bundle && stat(bundle, &st) == 0 && S_ISDIR(st.st_mode))
		r = set(&s->ca_folder, bundle, NULL);
	else
		r = set(&s->ca_file, bundle, NULL);
	if (r == 0 && !s->ca_folder)
		r = set(&s->ca_folder, variable("SSL_CERT_DIR"), NULL);
	return r < 0 ? r
		     : set(&s->client_certificate, variable("SSL_CLIENT_CERT"),
			   pip->values[PIP_CLIENT_CERT]);
}

/* libcurl takes HTTP_PROXY, which a web server's client may set by a header, for none;
 * pip and uv take it where no web server is. */
static int set_line(struct source_settings *s, const struct uv_settings *uv,
		    const struct pip_settings *pip)
{
	struct adder adder = { s, NULL };
	const char *seconds = variable("UV_HTTP_TIMEOUT");
	const char *retries = variable("UV_HTTP_RETRIES");
	s->seconds = word_number(seconds ? seconds : pip->values[PIP_TIMEOUT], SECONDS);
	s->retries = word_number(retries ? retries : pip->values[PIP_RETRIES], RETRIES);
	s->parallel = word_number(variable("UV_CONCURRENT_DOWNLOADS"), PARALLEL);
	s->parallel = s->parallel < 1               ? 1
		      : s->parallel > PARALLEL_MOST ? PARALLEL_MOST
						    : s->parallel;
	int r = set(&s->netrc, variable("NETRC"), NULL);
	if (r == 0)
		r = set(&s->proxy, pip->values[PIP_PROXY], NULL);
	if (r == 0 && !variable("http_proxy") && !variable("REQUEST_METHOD"))
		r = set(&s->http_proxy, variable("HTTP_PROXY"), NULL);
	for (size_t i = 0; r == 0 && i < uv->insecure_count; i++)
		r = add_host_word(&adder, uv->insecure_hosts[i]);
	return r < 0 ? r
		     : words_each(pip->values[PIP_TRUSTED_HOST], " \t\n", add_host_word,
				  &adder);
}

int source_settings_read(const char *directory, const struct wanted_indexes *said,
			 struct source_settings *ret, struct error *reterr)
{
	CLEANUP(uv_settings_release) struct uv_settings uv = { .indexes = NULL };
	CLEANUP(pip_settings_release) struct pip_settings pip = { .values = { NULL } };
	CLEANUP(source_settings_release) struct source_settings s = { .offline = false };
	int r = uv_files_read(directory, &uv, reterr);
	if (r == 0)
		r = uv_settings_add_environment(&uv);
	if (r == 0)
		r = pip_settings_read(&pip, reterr);
	if (r == 0)
		r = set_places(&s, &uv, &pip, said, reterr);
	if (r == 0)
		r = set_caches(&s, &uv, &pip);
	if (r == 0)
		r = set_trust(&s, &pip);
	if (r == 0)
		r = set_line(&s, &uv, &pip);
	if (r < 0)
		return r;
	s.offline = uv.offline;
	s.any_index = !uv_says(&uv) || (uv.index_strategy &&
					strncmp(uv.index_strategy, "unsafe-", 7) == 0);
	*ret = s;
	s = (struct source_settings){ .offline = true };
	return 0;
}
