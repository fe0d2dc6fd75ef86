#include "cache/build/record.h"

#include "cache/build/stamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "builds";

void install_notes_release(struct install_notes *notes)
{
	free(notes->direct_url);
	free(notes->uv_cache);
	free(notes->uv_build);
	free(notes->installer);
	*notes = (struct install_notes){ .direct_url = NULL };
}

void build_record_release(struct build_record *record)
{
	install_notes_release(&record->notes);
	free(record->folder);
	json_decref(record->keys);
	*record = (struct build_record){ .folder = NULL };
}

json_t *build_record_to_json(const struct build_record *record)
{
	char wheel[SHA256_HEX_SIZE];
	char stamp[DIGEST_HEX_SIZE];
	sha256_format(&record->wheel, wheel);
	digest_format(&record->stamp, stamp);
	return json_pack("{ss ss* ss* ss* ss* ss* sO* ss}", "wheel", wheel, "direct_url",
			 record->notes.direct_url, "uv_cache", record->notes.uv_cache,
			 "uv_build", record->notes.uv_build, "installer",
			 record->notes.installer, "folder", record->folder, "keys",
			 record->keys, "stamp", stamp);
}

int build_record_from_json(const json_t *from, struct build_record *ret)
{
	CLEANUP(build_record_release) struct build_record record = { .folder = NULL };
	const char *wheel = json_get_text(from, "wheel");
	const char *stamp = json_get_text(from, "stamp");
	if (!wheel || !sha256_parse(wheel, &record.wheel) || !stamp ||
	    !digest_parse(stamp, &record.stamp))
		return -EBADMSG;
	int r = json_copy_text(from, "direct_url", &record.notes.direct_url);
	if (r == 0)
		r = json_copy_text(from, "uv_cache", &record.notes.uv_cache);
	if (r == 0)
		r = json_copy_text(from, "uv_build", &record.notes.uv_build);
	if (r == 0)
		r = json_copy_text(from, "installer", &record.notes.installer);
	if (r == 0)
		r = json_copy_text(from, "folder", &record.folder);
	if (r < 0)
		return r;
	record.keys = json_incref(json_object_get(from, "keys"));
	*ret = record;
	record = (struct build_record){ .folder = NULL };
	return 0;
}

int build_record_stamp(struct build_record *record)
{
	int r = stamp_take(record->folder, record->keys, &record->stamp);
	if (r != -EINVAL)
		return r;
	json_decref(record->keys);
	record->keys = NULL;
	return 0;
}

bool build_record_is_fresh(const struct build_record *record)
{
	struct digest now;
	return !record->folder || (stamp_take(record->folder, record->keys, &now) == 0 &&
				   digest_equal(&now, &record->stamp));
}

/* What of an interpreter a wheel may depend on: not its patch release. */
static int spell_interpreter(struct buffer *out, const struct interpreter *p)
{
	return buffer_printf(out, "%s %d.%d %s %s %s %s %s %d%d%d\n", p->name, p->major,
			     p->minor, p->cache_tag, p->soabi, p->machine, p->libc,
			     p->libc_version, p->pointer_bits, p->free_threaded,
			     p->debug);
}

int build_key(const struct wanted_source *source, const struct sha256 *sha256,
	      const struct interpreter *interpreter, struct digest *ret)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	char hex[SHA256_HEX_SIZE] = "";
	int r = buffer_printf(&text, "build 1\n%s\n", source->name);
	if (r == 0)
		r = spell_interpreter(&text, interpreter);
	if (source->kind == WANTED_SDIST && !sha256)
		return -EINVAL;
	if (sha256)
		sha256_format(sha256, hex);
	/* An archive is what it is, wherever it lies. */
	const char *place = source->kind == WANTED_SDIST ? "" : source->path_or_url;
	if (r == 0)
		r = buffer_printf(&text, "%d %s\n%s\n%s\n%s\n%d\n", (int)source->kind,
				  hex, place, source->commit ? source->commit : "",
				  source->subdirectory ? source->subdirectory : "",
				  source->editable);
	if (r == 0)
		*ret = digest_of(text.data, text.size);
	return r;
}

int build_record_find(struct cache *cache, const struct digest *key,
		      struct build_record *ret, struct wheel_note *ret_note)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *value = NULL;
	CLEANUP(build_record_release) struct build_record record = { .folder = NULL };
	struct store *store;
	if (store_get_fact(cache_own(cache), kind, key, &text) < 0 ||
	    json_parse_object(text.data, text.size, &value) < 0 ||
	    build_record_from_json(value, &record) < 0 ||
	    !build_record_is_fresh(&record) ||
	    cache_find_wheel(cache, &record.wheel, &store, ret_note) < 0)
		return -ENOENT;
	*ret = record;
	record = (struct build_record){ .folder = NULL };
	return 0;
}

int build_record_save(struct cache *cache, const struct digest *key,
		      const struct build_record *record)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	cleanup_json json_t *value = build_record_to_json(record);
	int r = value ? json_print(value, false, &text) : -ENOMEM;
	return r < 0 ? r
		     : store_put_fact(cache_own(cache), kind, key, text.data, text.size);
}
