#include "cache/source/http_private.h"

#include "cache/base/bytes.h"
#include "cache/source/url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
	FIRST_PAUSE = 500,     /* ms after the first failure; doubled after each */
	LAST_PAUSE = 30000,    /* and not beyond this */
	BUSY_PAUSE = 100,      /* ms until a sink that was busy is asked again */
	PROGRESS = 256 << 10,  /* an attempt that got so far counts as none that failed */
	MOST_ATTEMPTS = 10000, /* of those, lest a server keeps us for ever */
};

struct run {
	const struct curl *curl;
	const struct http_settings *settings;
	CURLM *multi;
	struct transfer *transfers;
	size_t count, finished, running;
	http_done *done;
	void *context;
};

static uint64_t now(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void finish(struct run *run, struct transfer *t)
{
	transfer_reset(t);
	transfer_forget_hop(t);
	free(t->shown);
	t->shown = NULL;
	run->finished++;
	t->wait_until = UINT64_MAX;
	if (run->done)
		run->done(run->context, t->request);
}

/* Many clients that failed together must not come again together: a quarter off or on. */
static uint64_t pause_after(unsigned failures)
{
	uint16_t random = 0;
	(void)getrandom(&random, sizeof(random), 0);
	uint64_t pause = FIRST_PAUSE;
	for (unsigned i = 1; i < failures && pause < LAST_PAUSE; i++)
		pause *= 2;
	return pause * 3 / 4 + pause * random / UINT16_MAX / 2;
}

static void start(struct run *run, struct transfer *t)
{
	int r = transfer_prepare(t);
	if (r == -EBUSY) {
		t->wait_until = now() + BUSY_PAUSE;
		return;
	}
	if (r == 0 && run->curl->curl_multi_add_handle(run->multi, t->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r == 0) {
		run->running++;
		return;
	}
	t->request->result = r;
	if (r != -EALREADY)
		(void)error_prefix(&t->request->err, r, "%s", t->shown);
	finish(run, t);
}

static void end_attempt(struct run *run, struct transfer *t, CURLcode code)
{
	uint64_t pause = 0;
	enum verdict verdict = transfer_judge(t, code, &pause);
	run->running--;
	(void)run->curl->curl_multi_remove_handle(run->multi, t->easy);
	bool progressed = t->started && t->received >= PROGRESS;
	if (verdict == VERDICT_AGAIN && progressed && ++t->progresses < MOST_ATTEMPTS)
		t->failures = 0;
	if (verdict == VERDICT_AGAIN &&
	    ++t->failures > run->settings->retries + progressed)
		verdict = VERDICT_DONE;
	if (verdict == VERDICT_DONE) {
		finish(run, t);
		return;
	}
	transfer_reset(t);
	if (verdict == VERDICT_AGAIN)
		transfer_forget_hop(t);
	t->wait_until = now();
	if (verdict == VERDICT_AGAIN)
		t->wait_until += pause ? pause : pause_after(t->failures);
}

/* Starts what is due; how many ms nothing will be. */
static int start_due(struct run *run)
{
	uint64_t time = now();
	uint64_t next = time + 1000;
	for (size_t i = 0; i < run->count; i++) {
		struct transfer *t = &run->transfers[i];
		if (t->easy || t->wait_until == UINT64_MAX)
			continue;
		if (t->wait_until <= time && run->running < run->settings->parallel)
			start(run, t);
		if (!t->easy && t->wait_until > time && t->wait_until < next)
			next = t->wait_until;
	}
	return (int)(next - time);
}

static int turn(struct run *run)
{
	int pause = start_due(run);
	int alive;
	int left;
	if (run->finished == run->count)
		return 0;
	if (run->curl->curl_multi_perform(run->multi, &alive) != CURLM_OK)
		return -EIO;
	const CURLMsg *message;
	bool any = false;
	while ((message = run->curl->curl_multi_info_read(run->multi, &left)) != NULL) {
		char *context = NULL;
		CURLcode code = message->data.result;
		(void)run->curl->curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
						   &context);
		void *transfer = context;
		end_attempt(run, transfer, code);
		any = true;
	}
	if (!any &&
	    run->curl->curl_multi_poll(run->multi, NULL, 0, pause, NULL) != CURLM_OK)
		return -EIO;
	return 0;
}

int http_run(const struct http_settings *settings, struct http_request *requests,
	     size_t count, http_done *done, void *context, struct error *reterr)
{
	struct run run = { .settings = settings,
			   .curl = curl_library(reterr),
			   .count = count,
			   .done = done,
			   .context = context };
	if (!run.curl)
		return -ENOSYS;
	cleanup_free struct transfer *transfers = calloc(count + 1, sizeof(*transfers));
	run.transfers = transfers;
	run.multi = run.curl->curl_multi_init();
	int r = transfers && run.multi ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		requests[i].result = 0;
		requests[i].refused = false;
		transfers[i] = (struct transfer){ .curl = run.curl,
						  .settings = settings,
						  .request = &requests[i],
						  .shown = url_shown(requests[i].url) };
		if (!transfers[i].shown)
			r = -ENOMEM;
	}
	while (r == 0 && run.finished < count)
		r = turn(&run);
	for (size_t i = 0; transfers && i < count; i++) {
		if (transfers[i].easy)
			(void)run.curl->curl_multi_remove_handle(run.multi,
								 transfers[i].easy);
		if (transfers[i].curl) {
			transfer_reset(&transfers[i]);
			transfer_forget_hop(&transfers[i]);
		}
		free(transfers[i].shown);
	}
	if (run.multi)
		(void)run.curl->curl_multi_cleanup(run.multi);
	return r < 0 ? error_errno(reterr, r, "cannot fetch") : 0;
}

int http_resolve(const char *base, const char *reference, char **ret,
		 struct error *reterr)
{
	const struct curl *curl = curl_library(reterr);
	if (!curl)
		return -ENOSYS;
	CURLU *url = curl->curl_url();
	char *text = NULL;
	if (!url)
		return -ENOMEM;
	CURLUcode code = curl->curl_url_set(url, CURLUPART_URL, base, 0);
	if (code == CURLUE_OK)
		code = curl->curl_url_set(url, CURLUPART_URL, reference, CURLU_URLENCODE);
	if (code == CURLUE_OK)
		code = curl->curl_url_get(url, CURLUPART_URL, &text, 0);
	curl->curl_url_cleanup(url);
	int r = code == CURLUE_OK && url_is_http(text) ? 0 : -EBADMSG;
	if (r == 0) {
		*ret = strdup(text);
		r = *ret ? 0 : -ENOMEM;
	}
	curl->curl_free(text);
	return r == -EBADMSG
		   ? error_set(reterr, r,
			       "the index names it by what is no URL of http or "
			       "https")
		   : r;
}
