#include "cache/env/tags.h"

#include "cache/base/bytes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MINORS = 256, MOST_VERSIONS = 1001, PLATFORMS = 2 * MOST_MINORS + 1 };

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
	uint32_t minor;
	if (!isdigit((unsigned char)text[0]))
		return false;
	*ret_major = text[0] - '0';
	*ret_minor = -1;
	const char *rest = text + 1;
	if (*rest == '\0')
		return true;
	if ((rest[0] == '0' && rest[1] != '\0') || !take_number(&rest, &minor))
		return false;
	*ret_minor = (int)minor;
	return *rest == '\0' && minor < 1000;
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

/* How far the interpreter's libc is above that one; -1: it is not. */
static int above_libc(const struct interpreter *p, const char *libc, uint32_t major,
		      uint32_t minor)
{
	uint32_t have_major;
	uint32_t have_minor;
	const char *version = p->libc_version;
	if (strcmp(p->libc, libc) != 0 || !take_number(&version, &have_major) ||
	    *version++ != '.' || !take_number(&version, &have_minor))
		return -1;
	if (have_major != major || have_minor < minor || have_minor >= MOST_MINORS)
		return -1;
	return (int)(have_minor - minor);
}

/* manylinux begins where its first container image did. */
static bool is_too_old(const char *machine, uint32_t minor)
{
	bool x86 = strcmp(machine, "x86_64") == 0 || strcmp(machine, "i686") == 0;
	return minor < (x86 ? 5 : 17);
}

/*
 * Less is better. The newest libc that fits comes first, an old name of manylinux right
 * behind the new one, and what promises nothing about its libc last.
 */
static int platform_rank(const struct interpreter *p, const char *platform)
{
	uint32_t major;
	uint32_t minor;
	const char *machine;
	if (strncmp(platform, "linux_", 6) == 0)
		return same_machine(p, platform + 6) ? 2 * MOST_MINORS : -1;
	if (read_manylinux(platform, &major, &minor, &machine)) {
		int above = above_libc(p, "glibc", major, minor);
		bool fits = same_machine(p, machine) && !is_too_old(machine, minor);
		bool old_name = platform[strlen("manylinux")] != '_';
		return fits && above >= 0 ? 2 * above + old_name : -1;
	}
	if (read_libc(platform, "musllinux_", &major, &minor, &machine)) {
		int above = above_libc(p, "musl", major, minor);
		return same_machine(p, machine) && above >= 0 ? 2 * above : -1;
	}
	return -1;
}

/* The place of one of its ABIs among them; a debug build also loads what is built for
 * release. */
static int own_abi_rank(const struct interpreter *p, const char *abi)
{
	char own[32];
	int size = snprintf(own, sizeof(own), "cp%d%d%s", p->major, p->minor,
			    p->free_threaded ? "t" : "");
	if (size < 0 || strncmp(abi, own, (size_t)size) != 0)
		return -1;
	const char *flags = abi + size;
	if (p->minor < 8)
		return strcmp(flags, p->debug ? "dm" : "m") == 0 ? 0 : -1;
	if (strcmp(flags, p->debug ? "d" : "") == 0)
		return 0;
	return *flags == '\0' ? 1 : -1;
}

/*
 * The steps of PEP 425's order: its own ABI, the stable ABI of its version, no ABI, the
 * stable ABI of older versions; then whatever Python code for its platform; then what
 * fits all.
 */
enum step {
	STEP_OWN = 0, /* and 1 */
	STEP_STABLE = 2,
	STEP_NO_ABI = 3,
	STEP_OLDER = 4,
	STEP_PYTHON = STEP_OLDER + MOST_VERSIONS,
	STEP_ANY = STEP_PYTHON + MOST_VERSIONS, /* cp311-none-any */
	STEP_PYTHON_ANY,
};

static int rank_of(int step, int platform)
{
	return platform < 0 ? -1 : step * PLATFORMS + platform;
}

static int cpython_step(const struct interpreter *p, const char *abi, int minor)
{
	bool stable = strcmp(abi, p->free_threaded ? "abi3t" : "abi3") == 0;
	if (stable && minor >= 2 && minor < p->minor)
		return STEP_OLDER + p->minor - minor;
	if (minor != p->minor)
		return -1;
	if (stable)
		return STEP_STABLE;
	if (strcmp(abi, "none") == 0)
		return STEP_NO_ABI;
	return own_abi_rank(p, abi);
}

static int cpython_rank(const struct interpreter *p, const struct parts *tag)
{
	int major;
	int minor;
	if (strcmp(p->name, "cpython") != 0 ||
	    !read_version(tag->python + 2, &major, &minor) || major != p->major)
		return -1;
	if (strcmp(tag->platform, "any") == 0)
		return minor == p->minor && strcmp(tag->abi, "none") == 0
			   ? rank_of(STEP_ANY, 0)
			   : -1;
	int step = cpython_step(p, tag->abi, minor);
	return step < 0 ? -1 : rank_of(step, platform_rank(p, tag->platform));
}

/* py311, py3, py310, py39, ... */
static int generic_rank(const struct interpreter *p, const struct parts *tag)
{
	int major;
	int minor;
	if (!read_version(tag->python + 2, &major, &minor) || major != p->major ||
	    minor > p->minor || strcmp(tag->abi, "none") != 0)
		return -1;
	int older = minor < 0 ? 1 : p->minor - minor + (minor < p->minor);
	if (strcmp(tag->platform, "any") == 0)
		return rank_of(STEP_PYTHON_ANY + older, 0);
	return rank_of(STEP_PYTHON + older, platform_rank(p, tag->platform));
}

/* "pypy310-pp73-x86_64-linux-gnu" is the ABI "pypy310_pp73". */
static bool is_pypy_abi(const struct interpreter *p, const char *abi)
{
	size_t size = strcspn(p->soabi, "-");
	if (p->soabi[size] == '-')
		size += 1 + strcspn(p->soabi + size + 1, "-");
	for (size_t i = 0; i < size; i++) {
		if (abi[i] != (p->soabi[i] == '-' ? '_' : p->soabi[i]))
			return false;
	}
	return size > 0 && abi[size] == '\0';
}

static int pypy_rank(const struct interpreter *p, const struct parts *tag)
{
	int major;
	int minor;
	bool none = strcmp(tag->abi, "none") == 0;
	if (strcmp(p->name, "pypy") != 0 ||
	    !read_version(tag->python + 2, &major, &minor) || major != p->major)
		return -1;
	if (strcmp(tag->platform, "any") == 0)
		return minor < 0 && none ? rank_of(STEP_ANY, 0) : -1;
	if (minor != p->minor || (!none && !is_pypy_abi(p, tag->abi)))
		return -1;
	return rank_of(none ? STEP_NO_ABI : STEP_OWN, platform_rank(p, tag->platform));
}

static int single_rank(const struct interpreter *interpreter, const struct parts *tag)
{
	if (strncmp(tag->python, "cp", 2) == 0)
		return cpython_rank(interpreter, tag);
	if (strncmp(tag->python, "py", 2) == 0)
		return generic_rank(interpreter, tag);
	if (strncmp(tag->python, "pp", 2) == 0)
		return pypy_rank(interpreter, tag);
	return -1;
}

/* Takes the next of "py2.py3" off the set; NULL at its end. */
static char *next_of(char **set)
{
	return *set ? strsep(set, ".") : NULL;
}

static int better(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int best_platform(const struct interpreter *interpreter, struct parts *tag,
			 const char *platforms)
{
	int best = -1;
	(void)snprintf(tag->text, sizeof(tag->text), "%s", platforms);
	for (char *set = tag->text; (tag->platform = next_of(&set)) != NULL;)
		best = better(best, single_rank(interpreter, tag));
	return best;
}

int tag_rank(const struct interpreter *interpreter, const char *tag)
{
	struct parts sets;
	struct parts one;
	int best = -1;
	if (!split(tag, &sets))
		return -1;
	for (char *pythons = sets.python; (one.python = next_of(&pythons)) != NULL;) {
		char abi_text[sizeof(sets.text)];
		(void)snprintf(abi_text, sizeof(abi_text), "%s", sets.abi);
		for (char *abis = abi_text; (one.abi = next_of(&abis)) != NULL;)
			best =
			    better(best, best_platform(interpreter, &one, sets.platform));
	}
	return best;
}

bool tag_fits(const struct interpreter *interpreter, const char *tag)
{
	return tag_rank(interpreter, tag) >= 0;
}
