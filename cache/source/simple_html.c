/*
 * Links of an HTML page, as libxml2's parser meets them: no tree is built. A file's name
 * is the last component of its URL, as pip has it; hashes are in the fragment.
 */
#include "cache/source/simple.h"

#include "cache/base/cleanup.h"
#include "cache/source/url.h"
#include "cache/source/xml.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	struct simple_page page;
	bool bad_version;
	int result;
};

static const char *attribute(const xmlChar **attributes, const char *name)
{
	for (size_t i = 0; attributes && attributes[i]; i += 2) {
		if (strcmp((const char *)attributes[i], name) == 0)
			return attributes[i + 1] ? (const char *)attributes[i + 1] : "";
	}
	return NULL;
}

/* "#sha256=abc..." */
static int add_fragment(struct simple_file *f, const char *fragment)
{
	const char *equals = strchr(fragment, '=');
	if (!equals)
		return 0;
	cleanup_free char *algorithm = strndup(fragment, (size_t)(equals - fragment));
	cleanup_free char *hex = strndup(equals + 1, strcspn(equals + 1, "&"));
	return algorithm && hex ? simple_file_add_hash(f, algorithm, hex) : -ENOMEM;
}

static int add_link(struct simple_page *page, const xmlChar **attributes)
{
	const char *href = attribute(attributes, "href");
	const char *python = attribute(attributes, "data-requires-python");
	if (!href)
		return 0;
	cleanup_free char *name = url_file_name(href);
	if (!name)
		return 0;
	struct simple_file f = { .yanked = attribute(attributes, "data-yanked") != NULL };
	const char *fragment = href + strcspn(href, "#");
	f.bytes.size = -1;
	f.name = steal_ptr(name);
	f.url = strndup(href, (size_t)(fragment - href));
	f.requires_python = python ? strdup(python) : NULL;
	int r = f.url && (!python || f.requires_python) ? 0 : -ENOMEM;
	if (r == 0 && *fragment)
		r = add_fragment(&f, fragment + 1);
	if (r < 0) {
		simple_file_release(&f);
		return r;
	}
	return simple_page_add(page, &f);
}

static void take_meta(struct reader *r, const xmlChar **attributes)
{
	const char *name = attribute(attributes, "name");
	const char *content = attribute(attributes, "content");
	if (name && content && strcmp(name, "pypi:repository-version") == 0)
		r->bad_version =
		    strncmp(content, "1.", 2) != 0 && strcmp(content, "1") != 0;
}

static void on_start(void *context, const xmlChar *element, const xmlChar **attributes)
{
	struct reader *r = context;
	const char *name = (const char *)element;
	if (r->result < 0)
		return;
	if (strcmp(name, "a") == 0) {
		r->result = add_link(&r->page, attributes);
	} else if (strcmp(name, "meta") == 0) {
		take_meta(r, attributes);
	} else if (strcmp(name, "base") == 0 && !r->page.base) {
		const char *href = attribute(attributes, "href");
		r->page.base = href ? strdup(href) : NULL;
	}
}

static int run(const struct xml *xml, struct reader *r, const char *bytes, size_t size)
{
	enum { PART = 1 << 20 };
	htmlSAXHandler handler = { .startElement = on_start };
	htmlParserCtxtPtr parser = xml->htmlCreatePushParserCtxt(
	    &handler, r, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);
	if (!parser)
		return -ENOMEM;
	(void)xml->htmlCtxtUseOptions(parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR |
						  HTML_PARSE_NOWARNING |
						  HTML_PARSE_NONET);
	for (size_t at = 0; at < size && r->result == 0; at += PART) {
		int part = size - at < PART ? (int)(size - at) : PART;
		(void)xml->htmlParseChunk(parser, bytes + at, part, 0);
	}
	(void)xml->htmlParseChunk(parser, NULL, 0, 1);
	if (parser->myDoc)
		xml->xmlFreeDoc(parser->myDoc);
	xml->htmlFreeParserCtxt(parser);
	return r->result;
}

/* Of a page without links; libxml2 takes anything for HTML. */
static bool looks_like_html(const void *bytes, size_t size)
{
	char start[1024];
	size_t shown = size < sizeof(start) - 1 ? size : sizeof(start) - 1;
	memcpy(start, bytes, shown);
	start[shown] = '\0';
	return strcasestr(start, "<html") || strcasestr(start, "<!doctype html");
}

int simple_parse_html(const void *bytes, size_t size, struct simple_page *ret,
		      struct error *reterr)
{
	struct reader reader = { .result = 0 };
	const struct xml *xml = xml_library(reterr);
	if (!xml)
		return -ENOSYS;
	int r = run(xml, &reader, bytes, size);
	if (r == 0 && reader.page.count == 0 && !looks_like_html(bytes, size))
		r = error_set(reterr, -EBADMSG, "it is no page of an index");
	if (r == 0 && reader.bad_version)
		r = error_set(reterr, -EBADMSG,
			      "the version of its Simple API is not known here");
	if (r < 0) {
		simple_page_release(&reader.page);
		return r;
	}
	*ret = reader.page;
	return 0;
}
