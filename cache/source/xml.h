/*
 * The only door to libxml2, which is loaded when an index answers in HTML. Private to
 * cache/source.
 */
#pragma once

#include <libxml/HTMLparser.h>

#include "cache/base/error.h"

#define XML_FUNCTIONS(X)            \
	X(htmlCreatePushParserCtxt) \
	X(htmlCtxtUseOptions)       \
	X(htmlParseChunk)           \
	X(htmlFreeParserCtxt)       \
	X(xmlFreeDoc)

struct xml {
#define DECLARE_XML(name) __typeof__(name) *name;
	XML_FUNCTIONS(DECLARE_XML)
#undef DECLARE_XML
};

/* The loaded library, for ever; NULL with a text that says what to install. Any thread.
 */
const struct xml *xml_library(struct error *reterr);
