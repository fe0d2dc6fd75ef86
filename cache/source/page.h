/*
 * A page of an index on its way into memory: the sink of a request. One thread at a time.
 */
#pragma once

#include "cache/base/bytes.h"
#include "cache/source/http.h"
#include "cache/source/simple.h"

struct page {
	struct buffer bytes;
	char *url; /* after redirections */
	bool is_json;
};

/* What is asked for: JSON if it can be had. */
extern const char page_accept[];
/* Its context is a page, all zero at first. */
extern const struct http_sink page_sink;
int page_parse(const struct page *page, struct simple_page *ret, struct error *reterr);
void page_release(struct page *page);
