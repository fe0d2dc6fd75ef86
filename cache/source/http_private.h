/* One request on its way. Private to http.c and http_transfer.c. */
#pragma once

#include "cache/source/curl.h"
#include "cache/source/http.h"

struct transfer {
	const struct curl *curl;
	const struct http_settings *settings;
	struct http_request *request;
	CURL *easy;                 /* while it runs */
	struct curl_slist *headers; /* while it runs */
	char *shown;                /* the URL, as people may see it */
	char *hop;     /* where a redirection leads, which is asked next; or NULL */
	unsigned hops; /* so far in this attempt */
	char problem[CURL_ERROR_SIZE];
	char range[32];
	uint64_t asked;      /* offset that was asked for */
	uint64_t received;   /* by this attempt */
	unsigned failures;   /* in a row */
	unsigned progresses; /* attempts that failed and brought much */
	uint64_t wait_until;
	bool afresh, started;
	int sink_result; /* what ended it from within */
};

/* What becomes of a transfer whose attempt is over. */
enum verdict { VERDICT_DONE, VERDICT_AGAIN, VERDICT_AT_ONCE };

/* 0, or what `begin` returned. */
int transfer_prepare(struct transfer *t);
/* After it ran; sets the request's results. *ret_pause in ms, when the server said one.
 */
enum verdict transfer_judge(struct transfer *t, CURLcode code, uint64_t *ret_pause);
/* Before it is run again, and at the end. */
void transfer_reset(struct transfer *t);
/* The next attempt begins at the request's own URL. */
void transfer_forget_hop(struct transfer *t);
