/*
 * A password may hold what ends a host: "https://me:a/b@host/x" is no URL of that host,
 * but was meant to be. So where a port is none, all up to the last "@" counts as secret.
 */
#include "cache/base/shown.h"

#include <string.h>

static const char *last_at(const char *from, const char *end)
{
	const char *found = NULL;
	for (const char *p = from; p < end; p++) {
		if (*p == '@')
			found = p;
	}
	return found;
}

static const char *first_colon(const char *from, const char *end)
{
	while (from < end && *from != ':')
		from++;
	return from < end ? from : NULL;
}

/* Behind what may be user and password; `from`: where a host or they begin. */
static const char *skip_login(const char *from, const char *end)
{
	const char *stop = from;
	while (stop < end && !strchr("/?#\\", *stop))
		stop++;
	const char *at = last_at(from, stop);
	if (at)
		return at + 1;
	const char *colon = first_colon(from, stop);
	if (!colon || *from == '[' || !(at = last_at(stop, end)))
		return from;
	const char *port = colon + 1;
	while (port < stop && *port >= '0' && *port <= '9')
		port++;
	bool is_port = port == stop && stop < end && *stop == '/';
	return is_port ? from : at + 1;
}

/* "me:secret@host/x", where somebody forgot the scheme. */
static const char *skip_bare_login(const char *from, const char *end)
{
	const char *stop = from;
	while (stop < end && !strchr("/?#\\", *stop))
		stop++;
	const char *at = last_at(from, stop);
	return at && first_colon(from, at) ? at + 1 : from;
}

static int append_shown(struct buffer *out, const char *url, const char *end)
{
	const char *colon = memmem(url, (size_t)(end - url), "://", 3);
	const char *from = colon ? colon + 3 : url;
	const char *host = colon ? skip_login(from, end) : skip_bare_login(from, end);
	const char *stop = host;
	while (stop < end && *stop != '?' && *stop != '#')
		stop++;
	int r = buffer_append(out, url, (size_t)(from - url));
	return r < 0 ? r : buffer_append(out, host, (size_t)(stop - host));
}

int url_append_shown(struct buffer *out, const char *url)
{
	return append_shown(out, url, url + strlen(url));
}

char *url_shown(const char *url)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	if (url_append_shown(&text, url) < 0 || !buffer_cstr(&text))
		return NULL;
	return buffer_steal(&text);
}

/* White space and quotes end a URL; a comma and so on may stand in one. */
static const char *url_end(const char *from)
{
	return from + strcspn(from, " \t\r\n\"'<>");
}

static bool is_scheme(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

char *text_shown(const char *text)
{
	cleanup_buffer struct buffer out = BUFFER_INIT;
	const char *rest = text;
	const char *colon;
	int r = 0;
	while (r == 0 && (colon = strstr(rest, "://")) != NULL) {
		const char *start = colon;
		while (start > rest && is_scheme(start[-1]))
			start--;
		const char *end = url_end(colon);
		r = buffer_append(&out, rest, (size_t)(start - rest));
		if (r == 0)
			r = append_shown(&out, start, end);
		rest = end;
	}
	if (r == 0)
		r = buffer_append_text(&out, rest);
	return r == 0 && buffer_cstr(&out) ? buffer_steal(&out) : NULL;
}
