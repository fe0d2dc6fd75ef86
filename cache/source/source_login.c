#include "cache/source/source_private.h"

#include "cache/source/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct http_settings session_http(const struct source_settings *s)
{
	return (struct http_settings){ .ca_file = s->ca_file,
				       .ca_folder = s->ca_folder,
				       .client_certificate = s->client_certificate,
				       .proxy = s->proxy,
				       .http_proxy = s->http_proxy,
				       .netrc = s->netrc,
				       .insecure_hosts = s->insecure_hosts,
				       .insecure_count = s->insecure_count,
				       .retries = s->retries,
				       .seconds = s->seconds,
				       .parallel = s->parallel };
}

static int take_login(const struct source_index *index, char **ret_user,
		      char **ret_password)
{
	if (!index->user)
		return url_login(index->url, ret_user, ret_password) ? 1 : 0;
	*ret_user = strdup(index->user);
	*ret_password = strdup(index->password ? index->password : "");
	return *ret_user && *ret_password ? 1 : -ENOMEM;
}

/* Files often lie on the host of their index, and need its password. Of several indexes
 * on that host it is the one they are of, else the one whose path is nearest. */
static const struct source_index *find_index(const struct source_settings *s,
					     const char *url, const char *index_url)
{
	const struct source_index *best = NULL;
	size_t most = 0;
	for (size_t i = 0; i < s->index_count; i++) {
		const struct source_index *index = &s->indexes[i];
		if (!url_same_realm(url, index->url))
			continue;
		if (index_url && url_same_place(index_url, index->url))
			return index;
		size_t common = url_common_path(url, index->url);
		if (!best || common > most) {
			best = index;
			most = common;
		}
	}
	return best;
}

int session_login(const struct source_settings *s, const char *url, const char *index_url,
		  char **ret_user, char **ret_password)
{
	char *user = NULL;
	char *password = NULL;
	int r = 0;
	if (url_login(url, &user, &password)) {
		/* libcurl takes it from the URL. */
		free(user);
		free(password);
		return 0;
	}
	const struct source_index *index = find_index(s, url, index_url);
	if (index)
		r = take_login(index, &user, &password);
	if (r < 0) {
		free(user);
		free(password);
		return r;
	}
	*ret_user = user;
	*ret_password = password;
	return 0;
}
