#include "cache/env/tags.h"

#include "cache/base/bytes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parts {
	char text[256];
	char *python, *abi, *platform; /* in text, or in another's */
};

static bool split(const char *tag, struct parts *ret)
{
	if (strlen(tag) >= sizeof(ret->text))
		return false;
	(void)snprintf(ret->text, sizeof(ret->text), "%s", tag);
	char *abi = strchr(ret->text, '-');
	char *platform = abi ? strchr(abi + 1, '-') : NULL;
	if (!platform)
		return false;
	*abi = '\0';
	*platform = '\0';
	ret->python = ret->text;
	ret->abi = abi + 1;
	ret->platform = platform + 1;
	return true;
}

/* "311" is 3.11 and "3" is 3; minor -1 when it is not said. */
static bool read_version(const char *text, int *ret_major, int *ret_minor)
{
	if (!isdigit((unsigned char)text[0]))
		return false;
	*ret_major = text[0] - '0';
	*ret_minor = -1;
	char *end;
	const char *rest = text + 1;
	rest += *rest == '_';
	if (*rest == '\0')
		return true;
	long minor = strtol(rest, &end, 10);
	*ret_minor = (int)minor;
	return *end == '\0' && minor >= 0 && minor < 1000;
}

/* "manylinux_2_17_x86_64" */
static bool read_libc(const char *platform, const char *prefix, uint32_t *ret_major,
		      uint32_t *ret_minor, const char **ret_machine)
{
	size_t size = strlen(prefix);
	const char *p = platform + size;
	if (strncmp(platform, prefix, size) != 0 || !take_number(&p, ret_major) ||
	    *p++ != '_' || !take_number(&p, ret_minor) || *p++ != '_')
		return false;
	*ret_machine = p;
	return true;
}

/* manylinux's older names stand for a version of glibc. */
static bool read_manylinux(const char *platform, uint32_t *ret_major, uint32_t *ret_minor,
			   const char **ret_machine)
{
	static const struct {
		const char *name;
		uint32_t minor;
	} old[] = { { "manylinux1_", 5 },
		    { "manylinux2010_", 12 },
		    { "manylinux2014_", 17 } };
	for (size_t i = 0; i < sizeof(old) / sizeof(*old); i++) {
		size_t size = strlen(old[i].name);
		if (strncmp(platform, old[i].name, size) != 0)
			continue;
		*ret_major = 2;
		*ret_minor = old[i].minor;
		*ret_machine = platform + size;
		return true;
	}
	return read_libc(platform, "manylinux_", ret_major, ret_minor, ret_machine);
}

static bool same_machine(const struct interpreter *p, const char *machine)
{
	/* A 32-bit Python on a 64-bit kernel. */
	if (p->pointer_bits == 32 && strcmp(p->machine, "x86_64") == 0)
		return strcmp(machine, "i686") == 0;
	if (p->pointer_bits == 32 && strcmp(p->machine, "aarch64") == 0)
		return strcmp(machine, "armv7l") == 0;
	return strcmp(machine, p->machine) == 0;
}

static bool libc_is_at_least(const struct interpreter *p, const char *libc,
			     uint32_t major, uint32_t minor)
{
	uint32_t have_major;
	uint32_t have_minor;
	const char *version = p->libc_version;
	if (strcmp(p->libc, libc) != 0 || !take_number(&version, &have_major) ||
	    *version++ != '.' || !take_number(&version, &have_minor))
		return false;
	return have_major == major && have_minor >= minor;
}

static bool platform_fits(const struct interpreter *p, const char *platform)
{
	uint32_t major;
	uint32_t minor;
	const char *machine;
	if (strcmp(platform, "any") == 0)
		return true;
	if (strncmp(platform, "linux_", 6) == 0)
		return same_machine(p, platform + 6);
	if (read_manylinux(platform, &major, &minor, &machine))
		return same_machine(p, machine) &&
		       libc_is_at_least(p, "glibc", major, minor);
	if (read_libc(platform, "musllinux_", &major, &minor, &machine))
		return same_machine(p, machine) &&
		       libc_is_at_least(p, "musl", major, minor);
	return false;
}

/* What is built for it exactly; a debug build also loads what is built for release. */
static bool is_own_abi(const struct interpreter *p, const char *abi)
{
	char own[32];
	int size = snprintf(own, sizeof(own), "cp%d%d%s", p->major, p->minor,
			    p->free_threaded ? "t" : "");
	if (size < 0 || strncmp(abi, own, (size_t)size) != 0)
		return false;
	const char *flags = abi + size;
	if (p->minor < 8)
		return strcmp(flags, p->debug ? "dm" : "m") == 0;
	return *flags == '\0' || (p->debug && strcmp(flags, "d") == 0);
}

static bool cpython_fits(const struct interpreter *p, const struct parts *tag)
{
	int major;
	int minor;
	if (strcmp(p->name, "cpython") != 0 ||
	    !read_version(tag->python + 2, &major, &minor) || major != p->major)
		return false;
	if (minor == p->minor &&
	    (is_own_abi(p, tag->abi) || strcmp(tag->abi, "none") == 0))
		return true;
	const char *stable = p->free_threaded ? "abi3t" : "abi3";
	return strcmp(tag->abi, stable) == 0 && minor >= 2 && minor <= p->minor;
}

static bool generic_fits(const struct interpreter *p, const struct parts *tag)
{
	int major;
	int minor;
	return strncmp(tag->python, "py", 2) == 0 &&
	       read_version(tag->python + 2, &major, &minor) && major == p->major &&
	       minor <= p->minor && strcmp(tag->abi, "none") == 0;
}

/* pp310-pypy310_pp73: version of Python in the tag, all of the SOABI's beginning in the
 * ABI. */
static bool pypy_fits(const struct interpreter *p, const struct parts *tag)
{
	int major;
	int minor;
	char abi[64];
	if (strcmp(p->name, "pypy") != 0 || strncmp(tag->python, "pp", 2) != 0 ||
	    !read_version(tag->python + 2, &major, &minor) || major != p->major ||
	    minor != p->minor)
		return false;
	(void)snprintf(abi, sizeof(abi), "%s", p->soabi);
	for (char *c = abi; *c; c++) {
		if (*c == '-')
			*c = '_';
	}
	return strcmp(tag->abi, "none") == 0 ||
	       strncmp(abi, tag->abi, strlen(tag->abi)) == 0;
}

static bool single_fits(const struct interpreter *interpreter, const struct parts *tag)
{
	if (!platform_fits(interpreter, tag->platform))
		return false;
	if (strncmp(tag->python, "cp", 2) == 0)
		return cpython_fits(interpreter, tag);
	return generic_fits(interpreter, tag) || pypy_fits(interpreter, tag);
}

/* Takes the next of "py2.py3" off the set; NULL at its end. */
static char *next_of(char **set)
{
	return *set ? strsep(set, ".") : NULL;
}

static bool any_platform_fits(const struct interpreter *interpreter, struct parts *tag,
			      const char *platforms)
{
	(void)snprintf(tag->text, sizeof(tag->text), "%s", platforms);
	for (char *set = tag->text; (tag->platform = next_of(&set)) != NULL;) {
		if (single_fits(interpreter, tag))
			return true;
	}
	return false;
}

bool tag_fits(const struct interpreter *interpreter, const char *tag)
{
	struct parts sets;
	struct parts one;
	if (!split(tag, &sets))
		return false;
	for (char *pythons = sets.python; (one.python = next_of(&pythons)) != NULL;) {
		char abi_text[sizeof(sets.text)];
		(void)snprintf(abi_text, sizeof(abi_text), "%s", sets.abi);
		for (char *abis = abi_text; (one.abi = next_of(&abis)) != NULL;) {
			if (any_platform_fits(interpreter, &one, sets.platform))
				return true;
		}
	}
	return false;
}
