/*
 * One attempt at a request: what libcurl is told, what it reports, and whether another
 * attempt may help.
 *
 * Redirections are followed here and not by libcurl: whether a certificate is checked,
 * and whether a password is sent, is judged for each URL anew.
 */
#include "cache/source/http_private.h"

#include "cache/source/url.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	CONNECT_SECONDS = 10,
	REDIRECTIONS = 10,
	LONGEST_PAUSE = 60,      /* seconds that a server may make us wait */
	LARGEST_TEXT = 64 << 10, /* of an answer that nobody reads */
};

static const char *header(const struct transfer *t, const char *name)
{
	struct curl_header *found;
	return t->curl->curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &found) ==
		       CURLHE_OK
		   ? found->value
		   : NULL;
}

static long status_of(const struct transfer *t)
{
	long status = 0;
	(void)t->curl->curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

/* "bytes 100-199/200": false when that is not what it says. */
static bool read_content_range(const char *text, uint64_t *ret_offset, int64_t *ret_size)
{
	char *end;
	if (!text || strncasecmp(text, "bytes ", 6) != 0)
		return false;
	*ret_offset = strtoull(text + 6, &end, 10);
	if (*end != '-')
		return false;
	(void)strtoull(end + 1, &end, 10);
	if (*end != '/')
		return false;
	*ret_size = end[1] == '*' ? -1 : strtoll(end + 1, NULL, 10);
	return true;
}

/* The head is in. Gives it to the sink; anything but 0 ends the attempt. */
static int start(struct transfer *t)
{
	struct http_request *q = t->request;
	const char *tag = header(t, "ETag");
	struct http_reply reply = { .size = -1 };
	bool part = status_of(t) == 206;
	curl_off_t length = -1;
	char *url = NULL;
	t->started = true;
	(void)t->curl->curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
	(void)t->curl->curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
					 &length);
	reply.url = url ? url : q->url;
	reply.content_type = header(t, "Content-Type");
	/* Weak tags do not promise the same bytes. */
	reply.validator = tag && *tag == '"' ? tag : header(t, "Last-Modified");
	if (!part && !header(t, "Content-Encoding"))
		reply.size = length;
	if (part && (!read_content_range(header(t, "Content-Range"), &reply.offset,
					 &reply.size) ||
		     reply.offset != t->asked)) {
		t->afresh = true;
		return error_set(&q->err, -EAGAIN,
				 "the server sent another part than it was asked for");
	}
	return q->sink->start(q->context, &reply, &q->err);
}

static bool is_wanted(long status)
{
	return status == 200 || status == 206;
}

static size_t on_bytes(const char *bytes, size_t one, size_t size, void *context)
{
	struct transfer *t = context;
	struct http_request *q = t->request;
	(void)one;
	if (!is_wanted(status_of(t))) {
		t->received += size;
		return t->received > LARGEST_TEXT ? CURL_WRITEFUNC_ERROR : size;
	}
	int r = t->started ? 0 : start(t);
	if (r == 0)
		r = q->sink->bytes(q->context, bytes, size, &q->err);
	t->sink_result = r;
	t->received += size;
	return r < 0 ? CURL_WRITEFUNC_ERROR : size;
}

/* What is asked just now. */
static const char *url_of(const struct transfer *t)
{
	return t->hop ? t->hop : t->request->url;
}

static bool is_insecure(const struct transfer *t)
{
	const char *asked = url_of(t);
	cleanup_free char *shown = url_shown(asked);
	for (size_t i = 0; i < t->settings->insecure_count; i++) {
		char url[300];
		const char *host = t->settings->insecure_hosts[i];
		(void)snprintf(url, sizeof(url), "https://%s", host);
		/* A host without a port means all its ports. */
		const char *authority = shown ? strstr(shown, "://") : NULL;
		size_t size = authority ? strcspn(authority + 3, ":/") : 0;
		if (url_same_realm(url, asked) ||
		    (size > 0 && strlen(host) == size &&
		     strncasecmp(authority + 3, host, size) == 0))
			return true;
	}
	return false;
}

static void set_text(const struct transfer *t, CURLoption option, const char *text)
{
	if (text)
		(void)t->curl->curl_easy_setopt(t->easy, option, text);
}

static void set_number(const struct transfer *t, CURLoption option, long number)
{
	(void)t->curl->curl_easy_setopt(t->easy, option, number);
}

static void set_trust(const struct transfer *t)
{
	const struct http_settings *s = t->settings;
	set_text(t, CURLOPT_CAINFO, s->ca_file);
	set_text(t, CURLOPT_CAPATH, s->ca_folder);
	set_text(t, CURLOPT_SSLCERT, s->client_certificate);
	if (s->http_proxy && strncasecmp(url_of(t), "http:", 5) == 0)
		set_text(t, CURLOPT_PROXY, s->http_proxy);
	set_text(t, CURLOPT_PROXY, s->proxy);
	if (is_insecure(t)) {
		set_number(t, CURLOPT_SSL_VERIFYPEER, 0);
		set_number(t, CURLOPT_SSL_VERIFYHOST, 0);
	}
	set_number(t, CURLOPT_NETRC, CURL_NETRC_OPTIONAL);
	set_text(t, CURLOPT_NETRC_FILE, s->netrc);
}

static void set_login(const struct transfer *t)
{
	const struct http_request *q = t->request;
	cleanup_free char *user = NULL;
	cleanup_free char *password = NULL;
	if (t->hop && !url_same_realm(t->hop, q->url))
		return;
	if (t->hop && !q->user && url_login(q->url, &user, &password)) {
		set_text(t, CURLOPT_USERNAME, user);
		set_text(t, CURLOPT_PASSWORD, password);
		return;
	}
	set_text(t, CURLOPT_USERNAME, q->user);
	set_text(t, CURLOPT_PASSWORD, q->password);
}

static int add_header(struct transfer *t, const char *name, const char *value)
{
	cleanup_free char *line = NULL;
	if (asprintf(&line, "%s: %s", name, value) < 0)
		return -ENOMEM;
	struct curl_slist *list = t->curl->curl_slist_append(t->headers, line);
	if (!list)
		return -ENOMEM;
	t->headers = list;
	return 0;
}

static int set_range(struct transfer *t, const struct http_range *range)
{
	if (range->offset == 0)
		return 0;
	(void)snprintf(t->range, sizeof(t->range), "%" PRIu64 "-", range->offset);
	set_text(t, CURLOPT_RANGE, t->range);
	return range->validator ? add_header(t, "If-Range", range->validator) : 0;
}

static void set_rules(struct transfer *t)
{
	set_text(t, CURLOPT_URL, url_of(t));
	set_text(t, CURLOPT_PROTOCOLS_STR, "http,https");
	set_number(t, CURLOPT_NOSIGNAL, 1);
	set_number(t, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	set_number(t, CURLOPT_LOW_SPEED_LIMIT, 1);
	set_number(t, CURLOPT_LOW_SPEED_TIME, (long)t->settings->seconds);
	set_text(t, CURLOPT_USERAGENT, "venvfs/" VENVFS_VERSION);
	set_text(t, CURLOPT_ACCEPT_ENCODING, t->request->compressed ? "" : "identity");
	(void)t->curl->curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->problem);
	(void)t->curl->curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_bytes);
	(void)t->curl->curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	(void)t->curl->curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
}

int transfer_prepare(struct transfer *t)
{
	struct http_request *q = t->request;
	struct http_range range = { .offset = 0 };
	q->err.text[0] = '\0';
	int r = q->sink->begin(q->context, t->afresh, &range, &q->err);
	if (r < 0)
		return r;
	t->asked = range.offset;
	t->received = 0;
	t->started = false;
	t->sink_result = 0;
	t->problem[0] = '\0';
	t->easy = t->curl->curl_easy_init();
	if (!t->easy)
		return -ENOMEM;
	set_rules(t);
	set_trust(t);
	set_login(t);
	r = set_range(t, &range);
	if (r == 0 && q->accept)
		r = add_header(t, "Accept", q->accept);
	if (r == 0)
		(void)t->curl->curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	return r;
}

void transfer_reset(struct transfer *t)
{
	if (t->easy)
		t->curl->curl_easy_cleanup(t->easy);
	t->curl->curl_slist_free_all(t->headers);
	t->easy = NULL;
	t->headers = NULL;
}

void transfer_forget_hop(struct transfer *t)
{
	free(t->hop);
	t->hop = NULL;
	t->hops = 0;
}

/* May the same request go better in a moment? */
static bool passes_by_itself(CURLcode code)
{
	static const CURLcode codes[] = {
		CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT,
		CURLE_OPERATION_TIMEDOUT,   CURLE_PARTIAL_FILE,
		CURLE_GOT_NOTHING,          CURLE_SEND_ERROR,
		CURLE_RECV_ERROR,           CURLE_HTTP2,
		CURLE_HTTP2_STREAM,         CURLE_SSL_CONNECT_ERROR,
	};
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		if (codes[i] == code)
			return true;
	}
	return false;
}

/* libcurl's own words, but where they would not help. They name hosts, never a password.
 */
static const char *words_for(const struct transfer *t, CURLcode code)
{
	if (code == CURLE_GOT_NOTHING)
		return "the server closed the connection without an answer";
	if (code == CURLE_PARTIAL_FILE)
		return "the connection was closed before all of it was there";
	if (code == CURLE_OPERATION_TIMEDOUT)
		return "the server took too long to answer";
	if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY)
		return t->problem[0] ? t->problem : "what the server sent is no HTTP";
	return t->problem[0] ? t->problem : t->curl->curl_easy_strerror(code);
}

static enum verdict failed_below(struct transfer *t, CURLcode code)
{
	struct http_request *q = t->request;
	cleanup_free char *hop = t->hop ? url_shown(t->hop) : NULL;
	q->result = -EIO;
	(void)error_set(&q->err, q->result, "%s%s%s: %s", t->shown,
			hop ? ", which leads to " : "", hop ? hop : "",
			words_for(t, code));
	return passes_by_itself(code) ? VERDICT_AGAIN : VERDICT_DONE;
}

static const char *words_for_status(long status)
{
	switch (status) {
	case 401:
		return "it wants a user and a password (they may stand in ~/.netrc or in "
		       "the index's URL)";
	case 403:
		return "the server refuses it; with a user and a password (~/.netrc, or "
		       "the index's URL) it may not";
	case 404:
	case 410:
		return "it is not there";
	case 429:
		return "the server was asked too often; try again later";
	default:
		return status >= 500 ? "the server has a problem; try again later"
				     : "the server refuses it";
	}
}

static enum verdict refused(struct transfer *t, long status, uint64_t *ret_pause)
{
	struct http_request *q = t->request;
	curl_off_t pause = 0;
	if (status == 416 && t->asked > 0) {
		t->afresh = true;
		return VERDICT_AT_ONCE;
	}
	q->result = status == 404 || status == 410   ? -ENOENT
		    : status == 401 || status == 403 ? -EACCES
						     : -EIO;
	q->refused = true;
	cleanup_free char *hop = t->hop ? url_shown(t->hop) : NULL;
	(void)error_set(&q->err, q->result, "%s%s%s: HTTP status %ld: %s", t->shown,
			hop ? ", which leads to " : "", hop ? hop : "", status,
			words_for_status(status));
	if (status != 408 && status != 429 && (status < 500 || status == 501))
		return VERDICT_DONE;
	(void)t->curl->curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &pause);
	if (pause > LONGEST_PAUSE) {
		(void)error_set(&q->err, q->result,
				"%s: HTTP status %ld: try again in %lld seconds",
				t->shown, status, (long long)pause);
		return VERDICT_DONE;
	}
	*ret_pause = pause > 0 ? (uint64_t)pause * 1000 : 0;
	return VERDICT_AGAIN;
}

static bool is_redirection(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 ||
	       status == 308;
}

static enum verdict cannot_follow(struct transfer *t, const char *why)
{
	struct http_request *q = t->request;
	q->result = -EIO;
	(void)error_set(&q->err, q->result, "%s: %s", t->shown, why);
	return VERDICT_DONE;
}

/* What was to be fetched over TLS is not fetched without. */
static enum verdict follow(struct transfer *t)
{
	char *to = NULL;
	(void)t->curl->curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &to);
	if (!to || !url_is_http(to))
		return cannot_follow(t, "the server redirects to what is no URL of http "
					"or https");
	if (strncasecmp(url_of(t), "https:", 6) == 0 && strncasecmp(to, "https:", 6) != 0)
		return cannot_follow(t, "the server redirects from https to http");
	if (t->hops == REDIRECTIONS)
		return cannot_follow(t, "the server redirects again and again");
	char *copy = strdup(to);
	if (!copy)
		return cannot_follow(t, strerror(ENOMEM));
	free(t->hop);
	t->hop = copy;
	t->hops++;
	return VERDICT_AT_ONCE;
}

/* The sink ended it, while it ran or at its end. */
static enum verdict ended(struct transfer *t, int code)
{
	struct http_request *q = t->request;
	q->result = code;
	(void)error_prefix(&q->err, code, "%s", t->shown);
	return code == -EAGAIN ? VERDICT_AGAIN : VERDICT_DONE;
}

enum verdict transfer_judge(struct transfer *t, CURLcode code, uint64_t *ret_pause)
{
	struct http_request *q = t->request;
	long status = status_of(t);
	*ret_pause = 0;
	if (t->sink_result < 0)
		return ended(t, t->sink_result);
	if (is_redirection(status) && (code == CURLE_OK || code == CURLE_WRITE_ERROR))
		return follow(t);
	if (code == CURLE_WRITE_ERROR && status >= 300)
		return refused(t, status, ret_pause);
	if (code != CURLE_OK)
		return failed_below(t, code);
	if (!is_wanted(status))
		return refused(t, status, ret_pause);
	int r = t->started ? 0 : start(t); /* an empty body */
	if (r == 0)
		r = q->sink->end(q->context, &q->err);
	if (r < 0)
		return ended(t, r);
	q->result = 0;
	return VERDICT_DONE;
}
