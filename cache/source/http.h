/*
 * Fetching over HTTP: any number of requests at once, each with a sink that takes what
 * comes. What may pass by itself (a broken connection, a server that is busy) is tried
 * again with growing pauses, and goes on where it broke off when the sink can. One thread
 * a call; the sinks are called by it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/error.h"

/* All may be NULL or 0 for what libcurl does by itself. Borrowed. */
struct http_settings {
	const char *ca_file, *ca_folder, *client_certificate;
	const char *proxy, *http_proxy; /* for all, and for http only */
	const char *netrc;
	char *const *insecure_hosts; /* "host" or "host:port": certificates unchecked */
	size_t insecure_count;
	unsigned retries;  /* beyond the first attempt */
	unsigned seconds;  /* without a byte until an attempt is given up */
	unsigned parallel; /* requests at once */
};

/* The head of an answer with status 200 or 206. */
struct http_reply {
	const char *url;                      /* after redirections */
	const char *content_type, *validator; /* strong ETag or Last-Modified; or NULL */
	uint64_t offset; /* where the bytes begin: 0 unless they are a part */
	int64_t size;    /* of the whole, -1: not said */
};

/* What of the answer is wanted; set by `begin`. */
struct http_range {
	uint64_t offset;       /* how much is there already */
	const char *validator; /* the answer that it is of, or NULL */
};

/*
 * Functions return 0 or a negative errno, which ends the request with that result and the
 * text they set. Codes with another meaning: from `begin`, -EBUSY (asked again in a
 * moment) and -EALREADY (it is not wanted any more: the request ends with that result);
 * from `start` and `end`, -EAGAIN (that attempt failed, make another).
 */
struct http_sink {
	/* Before each attempt. `afresh`: the server gives no part, begin at 0. */
	int (*begin)(void *context, bool afresh, struct http_range *ret,
		     struct error *reterr);
	int (*start)(void *context, const struct http_reply *reply, struct error *reterr);
	int (*bytes)(void *context, const void *bytes, size_t size, struct error *reterr);
	int (*end)(void *context, struct error *reterr);
};

struct http_request {
	const char *url;             /* http or https; may hold user and password */
	const char *user, *password; /* or NULL */
	const char *accept;          /* media types, or NULL */
	bool compressed;             /* it may come compressed */
	const struct http_sink *sink;
	void *context; /* of the sink */
	/* Results: */
	int result; /* -ENOENT: 404 or 410; -EACCES: 401 or 403; -EALREADY: see above */
	bool
	    refused; /* the server was there and gave a final answer that is no success */
	struct error err; /* "<url>: <why>" */
};

/* Called when a request is finished, for good or not. */
typedef void http_done(void *context, struct http_request *request);

/*
 * Works until all requests are finished; `done` may be NULL. 0, or -ENOSYS (no libcurl)
 * or -ENOMEM, when nothing could be begun.
 */
int http_run(const struct http_settings *settings, struct http_request *requests,
	     size_t count, http_done *done, void *context, struct error *reterr);

/*
 * Resolves what stands in a page: `reference` is a URL or a part of one. The caller frees
 * *ret. -EBADMSG: together they are no URL of http or https.
 */
int http_resolve(const char *base, const char *reference, char **ret,
		 struct error *reterr);
