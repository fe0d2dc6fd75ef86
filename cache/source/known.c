#include "cache/source/known.h"

#include <string.h>

static const char kind[] = "hashes";

static struct digest key_of(const struct sha256 *sha256)
{
	return digest_of(sha256, sizeof(*sha256));
}

/* Lines of "sha512:<hex>". */
static const char *find(const struct buffer *lines, const char *algorithm)
{
	size_t size = strlen(algorithm);
	const char *line = (const char *)lines->data;
	while (line && *line) {
		if (strncmp(line, algorithm, size) == 0 && line[size] == ':')
			return line + size + 1;
		line = strchr(line, '\n');
		line += line != NULL;
	}
	return NULL;
}

static bool read_lines(struct store *store, const struct sha256 *sha256,
		       struct buffer *out)
{
	struct digest key = key_of(sha256);
	out->size = 0;
	return store_get_fact(store, kind, &key, out) == 0 && buffer_cstr(out);
}

void known_note(struct cache *cache, const struct sha256 *sha256,
		const struct check *check)
{
	cleanup_buffer struct buffer lines = BUFFER_INIT;
	struct digest key = key_of(sha256);
	bool any = false;
	(void)read_lines(cache_own(cache), sha256, &lines);
	for (size_t i = 0; i < CHECK_ALGORITHMS; i++) {
		const char *hex = check_found(check, i);
		if (!hex || find(&lines, check_algorithms[i]))
			continue;
		if (buffer_printf(&lines, "%s:%s\n", check_algorithms[i], hex) < 0 ||
		    !buffer_cstr(&lines))
			return;
		any = true;
	}
	if (any)
		(void)store_put_fact(cache_own(cache), kind, &key, lines.data,
				     lines.size);
}

static enum known judge_hash(struct cache *cache, const struct sha256 *sha256,
			     const struct wanted_hash *hash)
{
	cleanup_buffer struct buffer lines = BUFFER_INIT;
	for (size_t i = 0; i < cache_count(cache); i++) {
		if (!read_lines(cache_store(cache, i), sha256, &lines))
			continue;
		const char *hex = find(&lines, hash->algorithm);
		size_t size = strlen(hash->hex);
		if (hex)
			return strcspn(hex, "\n") == size &&
				       memcmp(hex, hash->hex, size) == 0
				   ? KNOWN_RIGHT
				   : KNOWN_WRONG;
	}
	return KNOWN_NOT;
}

/* Each of its hashes whose algorithm is known here; without any it is not known. */
static enum known judge_each(struct cache *cache, const struct sha256 *sha256,
			     const struct wanted_bytes *bytes)
{
	enum known result = bytes->has_sha256 ? KNOWN_RIGHT : KNOWN_NOT;
	bool unknown = false;
	if (bytes->has_sha256 && memcmp(&bytes->sha256, sha256, sizeof(*sha256)) != 0)
		return KNOWN_WRONG;
	for (size_t i = 0; i < bytes->other_count; i++) {
		if (!check_knows(bytes->others[i].algorithm))
			continue;
		enum known one = judge_hash(cache, sha256, &bytes->others[i]);
		if (one == KNOWN_WRONG)
			return KNOWN_WRONG;
		unknown = unknown || one == KNOWN_NOT;
		result = KNOWN_RIGHT;
	}
	return unknown ? KNOWN_NOT : result;
}

static bool has_known(const struct wanted_bytes *bytes)
{
	bool known = bytes->has_sha256;
	for (size_t i = 0; i < bytes->other_count; i++)
		known = known || check_knows(bytes->others[i].algorithm);
	return known;
}

enum known known_judge(struct cache *cache, const struct sha256 *sha256,
		       const struct expected *e)
{
	bool has_all =
	    e->all && (e->any_count == 0 ? wanted_has_hash(e->all) : has_known(e->all));
	enum known all = has_all ? judge_each(cache, sha256, e->all) : KNOWN_RIGHT;
	enum known any = e->any_count > 0 ? KNOWN_WRONG : KNOWN_RIGHT;
	for (size_t i = 0; i < e->any_count && any != KNOWN_RIGHT; i++) {
		enum known one = judge_each(cache, sha256, &e->any[i]);
		any = one == KNOWN_WRONG ? any : one;
	}
	if (all == KNOWN_WRONG || any == KNOWN_WRONG)
		return KNOWN_WRONG;
	return all == KNOWN_NOT || any == KNOWN_NOT ? KNOWN_NOT : KNOWN_RIGHT;
}
