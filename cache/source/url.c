#include "cache/source/url.h"

#include "cache/source/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Where things lie in "scheme://user:password@host:port/path?query#fragment". */
struct parts {
	const char *scheme_end;                       /* at "://" */
	const char *authority, *host, *authority_end; /* host: behind the '@' */
	const char *path_end;                         /* at '?', '#' or the end */
};

static bool split(const char *url, struct parts *ret)
{
	const char *colon = strstr(url, "://");
	if (!colon)
		return false;
	ret->scheme_end = colon;
	ret->authority = ret->host = colon + 3;
	ret->authority_end = ret->authority + strcspn(ret->authority, "/?#\\");
	for (const char *p = ret->authority; p < ret->authority_end; p++) {
		if (*p == '@')
			ret->host = p + 1;
	}
	ret->path_end = ret->authority_end + strcspn(ret->authority_end, "?#");
	return true;
}

bool url_is_http(const char *text)
{
	return strncasecmp(text, "http://", 7) == 0 ||
	       strncasecmp(text, "https://", 8) == 0;
}

int url_append_without_login(struct buffer *out, const char *url)
{
	struct parts p;
	if (!split(url, &p) || p.host == p.authority)
		return buffer_append_text(out, url);
	const size_t scheme = (size_t)(p.scheme_end - url);
	const bool ssh = scheme >= 3 && strncasecmp(p.scheme_end - 3, "ssh", 3) == 0;
	int r = buffer_append(out, url, (size_t)(p.authority - url));
	if (r == 0 && ssh) {
		r = buffer_append(out, p.authority, strcspn(p.authority, ":@"));
		r = r < 0 ? r : buffer_append_text(out, "@");
	}
	return r < 0 ? r : buffer_append_text(out, p.host);
}

int url_append_normal(struct buffer *out, const char *url)
{
	struct parts p;
	if (!split(url, &p))
		return -EINVAL;
	int r = 0;
	for (const char *c = url; r == 0 && c < p.authority_end; c++) {
		char lower = char_lower(*c);
		if (c < p.authority || c >= p.host)
			r = buffer_append(out, &lower, 1);
	}
	if (r == 0 && p.path_end == p.authority_end)
		r = buffer_append_text(out, "/");
	return r < 0 ? r
		     : buffer_append(out, p.authority_end, strcspn(p.authority_end, "#"));
}

/* "host:port" with the port that the scheme implies when none is said. */
static size_t realm_host(const struct parts *p, bool https)
{
	size_t size = (size_t)(p->authority_end - p->host);
	const char *usual = https ? ":443" : ":80";
	size_t usual_size = strlen(usual);
	if (size > usual_size &&
	    memcmp(p->authority_end - usual_size, usual, usual_size) == 0)
		return size - usual_size;
	return size;
}

bool url_same_realm(const char *a, const char *b)
{
	struct parts x;
	struct parts y;
	if (!url_is_http(a) || !split(a, &x) || !split(b, &y))
		return false;
	size_t scheme = (size_t)(x.scheme_end - a);
	if (scheme != (size_t)(y.scheme_end - b) || strncasecmp(a, b, scheme) != 0)
		return false;
	size_t size = realm_host(&x, scheme == 5);
	return size == realm_host(&y, scheme == 5) &&
	       strncasecmp(x.host, y.host, size) == 0;
}

/* The component that begins at *at, behind its slashes; empty at the end. */
static size_t component(const char **at, const char *end)
{
	while (*at < end && **at == '/')
		++*at;
	const char *slash = memchr(*at, '/', (size_t)(end - *at));
	return (size_t)((slash ? slash : end) - *at);
}

size_t url_common_path(const char *a, const char *b)
{
	struct parts x;
	struct parts y;
	size_t count = 0;
	if (!split(a, &x) || !split(b, &y))
		return 0;
	const char *p = x.authority_end;
	const char *q = y.authority_end;
	for (;; count++) {
		size_t size = component(&p, x.path_end);
		if (size == 0 || size != component(&q, y.path_end) ||
		    memcmp(p, q, size) != 0)
			return count;
		p += size;
		q += size;
	}
}

static size_t count_components(const char *url)
{
	return url_common_path(url, url);
}

bool url_same_place(const char *a, const char *b)
{
	size_t common = url_common_path(a, b);
	return url_same_realm(a, b) && common == count_components(a) &&
	       common == count_components(b);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = char_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A NUL in it would cut the text short, so there is none: then NULL. */
static char *decode(const char *text, size_t size)
{
	cleanup_free char *out = malloc(size + 1);
	size_t n = 0;
	for (size_t i = 0; out && i < size; i++) {
		char c = text[i];
		if (c == '%' && i + 2 < size && hex_value(text[i + 1]) >= 0 &&
		    hex_value(text[i + 2]) >= 0) {
			c = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
			i += 2;
		}
		if (c == '\0')
			return NULL;
		out[n++] = c;
	}
	if (out)
		out[n] = '\0';
	return steal_ptr(out);
}

bool url_login(const char *url, char **ret_user, char **ret_password)
{
	struct parts p;
	if (!split(url, &p) || p.host == p.authority)
		return false;
	size_t size = (size_t)(p.host - 1 - p.authority);
	const char *colon = memchr(p.authority, ':', size);
	size_t user_size = colon ? (size_t)(colon - p.authority) : size;
	cleanup_free char *user = decode(p.authority, user_size);
	cleanup_free char *password =
	    colon ? decode(colon + 1, size - user_size - 1) : strdup("");
	if (!user || !password)
		return false;
	*ret_user = steal_ptr(user);
	*ret_password = steal_ptr(password);
	return true;
}

static bool is_file_name(const char *name)
{
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
		if (*p < 0x20 || *p == 0x7f || *p == '/')
			return false;
	}
	return true;
}

char *url_file_name(const char *url)
{
	struct parts p;
	if (!split(url, &p)) {
		p.authority_end = url;
		p.path_end = url + strcspn(url, "?#");
	}
	const char *start = p.path_end;
	while (start > p.authority_end && start[-1] != '/')
		start--;
	cleanup_free char *name = decode(start, (size_t)(p.path_end - start));
	return name && is_file_name(name) ? steal_ptr(name) : NULL;
}

char *url_file_path(const char *url)
{
	struct parts p;
	if (strncasecmp(url, "file://", 7) != 0 || !split(url, &p))
		return NULL;
	size_t host = (size_t)(p.authority_end - p.authority);
	if (host > 0 && (host != 9 || strncasecmp(p.authority, "localhost", host) != 0))
		return NULL;
	return decode(p.authority_end, (size_t)(p.path_end - p.authority_end));
}

int url_split_hash(const char *text, char **ret_url, bool *ret_has, struct sha256 *ret)
{
	const char *fragment = text + strcspn(text, "#");
	const char *hash = *fragment ? strstr(fragment + 1, "sha256=") : NULL;
	if (hash && hash[-1] != '#' && hash[-1] != '&')
		hash = NULL;
	*ret_has = hash != NULL;
	if (hash) {
		char hex[SHA256_HEX_SIZE];
		size_t size = strcspn(hash + 7, "&");
		if (size != sizeof(hex) - 1)
			return -EINVAL;
		for (size_t i = 0; i < size; i++)
			hex[i] = char_lower(hash[7 + i]);
		hex[size] = '\0';
		if (!sha256_parse(hex, ret))
			return -EINVAL;
	}
	*ret_url = strndup(text, (size_t)(fragment - text));
	return *ret_url ? 0 : -ENOMEM;
}
