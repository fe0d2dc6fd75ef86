#include "cache/source/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LARGEST_PAGE = 64 << 20 };

const char page_accept[] = "application/vnd.pypi.simple.v1+json, "
			   "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

static int on_begin(void *context, bool afresh, struct http_range *ret,
		    struct error *reterr)
{
	struct page *page = context;
	(void)afresh;
	(void)reterr;
	page_release(page);
	ret->offset = 0;
	return 0;
}

static bool is_type(const char *type, const char *wanted)
{
	size_t size = strlen(wanted);
	return strcspn(type, "; \t") == size && strncasecmp(type, wanted, size) == 0;
}

static int on_start(void *context, const struct http_reply *reply, struct error *reterr)
{
	struct page *page = context;
	const char *type = reply->content_type ? reply->content_type : "text/html";
	page->is_json = is_type(type, "application/vnd.pypi.simple.v1+json") ||
			is_type(type, "application/json");
	if (!page->is_json && !is_type(type, "text/html") &&
	    !is_type(type, "application/vnd.pypi.simple.v1+html"))
		return error_set(reterr, -EBADMSG,
				 "it is no page of an index, but of type '%.60s'", type);
	page->url = strdup(reply->url);
	return page->url ? 0 : -ENOMEM;
}

static int on_bytes(void *context, const void *bytes, size_t size, struct error *reterr)
{
	struct page *page = context;
	if (!range_inside(page->bytes.size, size, LARGEST_PAGE))
		return error_set(reterr, -EBADMSG, "the page is larger than %d MiB",
				 LARGEST_PAGE >> 20);
	return buffer_append(&page->bytes, bytes, size);
}

static int on_end(void *context, struct error *reterr)
{
	(void)context;
	(void)reterr;
	return 0;
}

const struct http_sink page_sink = { on_begin, on_start, on_bytes, on_end };

int page_parse(const struct page *page, struct simple_page *ret, struct error *reterr)
{
	const void *bytes = page->bytes.data ? (const void *)page->bytes.data : "";
	return page->is_json ? simple_parse_json(bytes, page->bytes.size, ret, reterr)
			     : simple_parse_html(bytes, page->bytes.size, ret, reterr);
}

void page_release(struct page *page)
{
	buffer_release(&page->bytes);
	free(page->url);
	*page = (struct page){ .is_json = false };
}
