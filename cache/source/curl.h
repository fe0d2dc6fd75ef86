/*
 * The only door to libcurl, which is loaded when something is to be fetched: with all
 * that it is linked to it costs the start of a program 7 ms, and most runs fetch nothing.
 * Private to cache/source.
 */
#pragma once

/* The macros that check types do not work on pointers to functions. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#include "cache/base/error.h"

#define CURL_FUNCTIONS(X)           \
	X(curl_global_init)         \
	X(curl_easy_init)           \
	X(curl_easy_cleanup)        \
	X(curl_easy_reset)          \
	X(curl_easy_setopt)         \
	X(curl_easy_getinfo)        \
	X(curl_easy_header)         \
	X(curl_easy_strerror)       \
	X(curl_multi_init)          \
	X(curl_multi_cleanup)       \
	X(curl_multi_setopt)        \
	X(curl_multi_add_handle)    \
	X(curl_multi_remove_handle) \
	X(curl_multi_perform)       \
	X(curl_multi_poll)          \
	X(curl_multi_info_read)     \
	X(curl_slist_append)        \
	X(curl_slist_free_all)      \
	X(curl_url)                 \
	X(curl_url_cleanup)         \
	X(curl_url_set)             \
	X(curl_url_get)             \
	X(curl_free)

struct curl {
#define DECLARE_CURL(name) __typeof__(name) *name;
	CURL_FUNCTIONS(DECLARE_CURL)
#undef DECLARE_CURL
};

/* The loaded library, for ever; NULL with a text that says what to install. Any thread.
 */
const struct curl *curl_library(struct error *reterr);
