/*
 * What people write for a Python: 3, 3.12, 312, 3.13t, 3.14rc1, python3.12, cpython@3.12,
 * pypy, >=3.12,<3.14, cpython-3.13.1-linux-x86_64-gnu, a path, a command. The forms are
 * uv's.
 */
#include "cache/env/discover_private.h"

#include "cache/version/specifier.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Names before a version; "python" and "" are of no implementation in particular. */
static const struct {
	const char *prefix, *implementation;
} prefixes[] = {
	{ "python", "" },    { "cpython", "cpython" },
	{ "pypy", "pypy" },  { "graalpy", "graalpy" },
	{ "cp", "cpython" }, { "pp", "pypy" },
	{ "gp", "graalpy" }, { "", "" },
};

static const struct {
	const char *suffix;
	enum request_threads threads;
	bool debug;
} variants[] = {
	{ "", THREADS_UNSAID, false },
	{ "t", THREADS_FREE, false },
	{ "d", THREADS_UNSAID, true },
	{ "td", THREADS_FREE, true },
	{ "+freethreaded", THREADS_FREE, false },
	{ "+debug", THREADS_UNSAID, true },
	{ "+freethreaded+debug", THREADS_FREE, true },
	{ "+gil", THREADS_GIL, false },
	{ "+gil+debug", THREADS_GIL, true },
};

static bool take_variant(const char *p, struct python_request *r)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++) {
		if (strcasecmp(p, variants[i].suffix) != 0)
			continue;
		r->threads = variants[i].threads;
		r->debug = variants[i].debug;
		return true;
	}
	return false;
}

static void take_pre(const char **p, struct python_request *r)
{
	size_t letters = strspn(*p, "abrc");
	size_t digits = strspn(*p + letters, "0123456789");
	bool known = (letters == 1 && (**p == 'a' || **p == 'b')) ||
		     (letters == 2 && strncmp(*p, "rc", 2) == 0);
	if (!known || digits == 0 || letters + digits >= sizeof(r->pre))
		return;
	(void)snprintf(r->pre, sizeof(r->pre), "%.*s", (int)(letters + digits), *p);
	*p += letters + digits;
}

static bool take_numbers(const char **p, struct python_request *r)
{
	while (r->count < 3) {
		char *end;
		if (!isdigit((unsigned char)**p))
			return false;
		long number = strtol(*p, &end, 10);
		if (number > 9999 || end - *p > 4)
			return false;
		r->numbers[r->count++] = (int)number;
		*p = end;
		if (*end != '.')
			return true;
		(*p)++;
	}
	return false; /* a dot after the third */
}

/* "312" is 3.12, as in the tags of wheels. */
static void split_single(struct python_request *r)
{
	char digits[16];
	if (r->count != 1 || r->numbers[0] < 10)
		return;
	(void)snprintf(digits, sizeof(digits), "%d", r->numbers[0]);
	r->numbers[0] = digits[0] - '0';
	r->numbers[1] = (int)strtol(digits + 1, NULL, 10);
	r->count = 2;
}

static bool take_version(const char *p, struct python_request *r)
{
	if (!take_numbers(&p, r))
		return false;
	split_single(r);
	take_pre(&p, r);
	return take_variant(p, r) && !(r->pre[0] && r->count < 2);
}

bool request_is_version(const char *text)
{
	struct python_request r = { .kind = REQUEST_VERSION };
	return take_version(text, &r);
}

/* What follows a prefix: nothing, a version (perhaps after '@'), or specifiers. */
static bool take_rest(const char *rest, const char *implementation,
		      struct python_request *ret)
{
	struct python_request r = { .kind = REQUEST_VERSION, .text = rest };
	(void)snprintf(r.implementation, sizeof(r.implementation), "%s", implementation);
	if (*rest && strchr("<>=!~", *rest)) {
		r.kind = REQUEST_RANGE;
		*ret = r;
		return true;
	}
	if (*rest == '\0' && !*implementation)
		return false;
	if (*rest && !take_version(rest + (*rest == '@'), &r))
		return false;
	*ret = r;
	return true;
}

/* The next part of "a-b-c", or "" where there is none. */
static void take_part(const char **p, char *ret_part, size_t room)
{
	size_t size = strcspn(*p, "-");
	(void)snprintf(ret_part, room, "%.*s", (int)size, *p);
	*p += size + ((*p)[size] == '-');
	if (strcasecmp(ret_part, "any") == 0)
		ret_part[0] = '\0';
}

/* "cpython-3.13.1-linux-x86_64-gnu": how uv calls its interpreters, or the start of it.
 */
static bool take_key(const char *text, struct python_request *ret)
{
	struct python_request r = { .kind = REQUEST_VERSION, .text = text };
	char version[48];
	size_t i = 0;
	take_part(&text, r.implementation, sizeof(r.implementation));
	take_part(&text, version, sizeof(version));
	take_part(&text, r.os, sizeof(r.os));
	take_part(&text, r.arch, sizeof(r.arch));
	take_part(&text, r.libc, sizeof(r.libc));
	while (i < sizeof(prefixes) / sizeof(*prefixes) &&
	       strcasecmp(r.implementation, prefixes[i].implementation) != 0)
		i++;
	if (i == sizeof(prefixes) / sizeof(*prefixes) || *text ||
	    (*version && !take_version(version, &r)) || (!*version && !*r.os))
		return false;
	(void)snprintf(r.implementation, sizeof(r.implementation), "%s",
		       prefixes[i].implementation);
	*ret = r;
	return true;
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

struct python_request request_parse(const char *text)
{
	struct python_request r = { .kind = REQUEST_ANY, .text = text };
	if (strcasecmp(text, "any") == 0 || strcasecmp(text, "default") == 0)
		return r;
	if (strchr(text, '/')) {
		r.kind = REQUEST_PATH;
		return r;
	}
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		const char *prefix = prefixes[i].prefix;
		if (starts_with(text, prefix) &&
		    take_rest(text + strlen(prefix), prefixes[i].implementation, &r))
			return r;
	}
	if (strchr(text, '-') && take_key(text, &r))
		return r;
	r.kind = REQUEST_NAME;
	return r;
}

static bool is_finished(const struct python_request *version)
{
	return !version->pre[0];
}

int request_range_has(const char *specifiers, const char *version)
{
	struct version parsed;
	if (!version_parse(version, strlen(version), &parsed))
		return 0;
	return specifiers_match(specifiers, &parsed, version);
}

/* Both given as numbers; `found` has three. */
static bool numbers_fit(const struct python_request *asked,
			const struct python_request *found)
{
	for (int i = 0; i < asked->count; i++) {
		if (asked->numbers[i] != found->numbers[i])
			return false;
	}
	if (asked->pre[0])
		return strcmp(asked->pre, found->pre) == 0 &&
		       (asked->count == 3 || found->numbers[2] == 0);
	return asked->count < 3 || is_finished(found);
}

int request_fits_version(const struct python_request *request, const char *implementation,
			 const char *version)
{
	struct python_request found = { .kind = REQUEST_VERSION };
	char plain[64];
	/* A build between two releases calls itself "3.14.0b1+". */
	(void)snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(version, "+"), version);
	if (request->implementation[0] &&
	    strcmp(request->implementation, implementation) != 0)
		return 0;
	if (request->kind == REQUEST_RANGE)
		return request_range_has(request->text, plain);
	if (request->kind != REQUEST_VERSION)
		return 1;
	return take_version(plain, &found) && found.count == 3 &&
	       numbers_fit(request, &found);
}

static bool part_fits(const char *asked, const char *found)
{
	return !*asked || strcasecmp(asked, found) == 0;
}

/* From 3.14 on a build without the lock counts as any other. */
static bool threads_fit(const struct python_request *request, const struct interpreter *p)
{
	if (request->threads == THREADS_FREE)
		return p->free_threaded;
	if (request->threads == THREADS_GIL)
		return !p->free_threaded;
	return !p->free_threaded || p->minor >= 14;
}

int request_fits(const struct python_request *request, const struct interpreter *p)
{
	if (request->kind == REQUEST_PATH || request->kind == REQUEST_NAME)
		return 1;
	if (!threads_fit(request, p) || (request->debug && !p->debug) ||
	    !part_fits(request->os, "linux") || !part_fits(request->arch, p->machine))
		return 0;
	const char *libc = strcmp(p->libc, "musl") == 0 ? "musl" : "gnu";
	if (!part_fits(request->libc, libc))
		return 0;
	return request_fits_version(request, p->name, p->version);
}

bool request_may_be_minor(const struct python_request *request, int minor)
{
	if (minor < 6)
		return false;
	return request->kind != REQUEST_VERSION || request->count == 0 ||
	       (request->count == 1 && request->numbers[0] == 3);
}

bool request_allows_pre(const struct python_request *request)
{
	/* A range that names one, ">=3.14rc1", wants one. */
	return request->pre[0] || request->kind == REQUEST_PATH ||
	       request->kind == REQUEST_NAME ||
	       (request->kind == REQUEST_RANGE && strpbrk(request->text, "abr"));
}

bool request_allows_other(const struct python_request *request)
{
	return request->implementation[0] || request->kind == REQUEST_PATH ||
	       request->kind == REQUEST_NAME;
}
