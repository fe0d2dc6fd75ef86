/* Any line as a version, a marker and a requirement; what is parsed can be parsed again.
 */
#include "tests/fuzz/fuzz.h"

#include "cache/base/cleanup.h"
#include "cache/env/markers/marker.h"
#include "cache/env/markers/requirement.h"
#include "cache/version/specifier.h"

#include <stdlib.h>
#include <string.h>

static void try_version(const char *text)
{
	struct version a;
	struct version b;
	char spelled[VERSION_TEXT];
	if (!version_parse(text, strlen(text), &a))
		return;
	version_format(&a, spelled);
	if (!version_parse(spelled, strlen(spelled), &b) || version_compare(&a, &b) != 0)
		__builtin_trap();
	/* A version is what it equals, and never above or below itself. */
	if (specifiers_match(spelled, &a, text) >= 0)
		__builtin_trap();
}

static void try_specifiers(const char *text)
{
	static const char *const versions[] = { "3.11", "1.0rc1", "2!1.0.post1+x" };
	struct version v;
	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		if (!version_parse(versions[i], strlen(versions[i]), &v))
			__builtin_trap();
		(void)specifiers_match(text, &v, versions[i]);
	}
}

static void try_marker(const char *text)
{
	static const char *const names[] = { "dev" };
	const struct marker_set set = { names, 1 };
	struct marker_environment e = { .extra = "x", .extras = &set, .groups = &set };
	bool holds;
	for (int i = 0; i < MARKER_EXTRA; i++)
		e.values[i] = "3.11";
	/* What can be judged is a marker. */
	if (marker_evaluate(text, &e, &holds, NULL) == 0 &&
	    marker_evaluate(text, NULL, &holds, NULL) < 0)
		__builtin_trap();
}

static void try_requirement(const char *text)
{
	struct requirement q;
	if (requirement_parse(text, &q, NULL) < 0)
		return;
	cleanup_free char *pin = requirement_pin(&q);
	if (!*q.name || (q.url && *q.specifiers) ||
	    (!q.url && specifiers_match(q.specifiers, NULL, "") < 0))
		__builtin_trap();
	requirement_release(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *all = malloc(size + 1);
	if (!all)
		return 0;
	memcpy(all, data, size);
	all[size] = '\0';
	char *rest = all;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		try_version(line);
		try_specifiers(line);
		try_marker(line);
		try_requirement(line);
	}
	return 0;
}
