#include "cache/source/wanted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int wheel_rank_compare(const struct wheel_rank *a, const struct wheel_rank *b)
{
	if (a->tags < 0 || b->tags < 0)
		return (int)(a->tags < 0) - (int)(b->tags < 0);
	if (a->tags != b->tags)
		return a->tags < b->tags ? -1 : 1;
	if (a->build != b->build)
		return a->build > b->build ? -1 : 1;
	return strcmp(b->build_rest, a->build_rest);
}

void wanted_bytes_release(struct wanted_bytes *bytes)
{
	for (size_t i = 0; i < bytes->other_count; i++) {
		free(bytes->others[i].algorithm);
		free(bytes->others[i].hex);
	}
	free(bytes->others);
}

bool wanted_has_hash(const struct wanted_bytes *bytes)
{
	return bytes && (bytes->has_sha256 || bytes->other_count > 0);
}

int wanted_bytes_copy(struct wanted_bytes *to, const struct wanted_bytes *from)
{
	*to = *from;
	to->other_count = 0;
	to->others = calloc(from->other_count + 1, sizeof(*to->others));
	if (!to->others)
		return -ENOMEM;
	for (size_t i = 0; i < from->other_count; i++) {
		struct wanted_hash *hash = &to->others[to->other_count++];
		hash->algorithm = strdup(from->others[i].algorithm);
		hash->hex = strdup(from->others[i].hex);
		if (!hash->algorithm || !hash->hex)
			return -ENOMEM;
	}
	return 0;
}

void wanted_wheel_release(struct wanted_wheel *wheel)
{
	free(wheel->name);
	free(wheel->version);
	free(wheel->file);
	free(wheel->url);
	free(wheel->path);
	free(wheel->index_url);
	wanted_bytes_release(&wheel->bytes);
	*wheel = (struct wanted_wheel){ .name = NULL };
}

void wanted_source_free(struct wanted_source *source)
{
	if (!source)
		return;
	free(source->name);
	free(source->version);
	free(source->path_or_url);
	free(source->index_url);
	free(source->subdirectory);
	free(source->commit);
	free(source->revision);
	wanted_bytes_release(&source->bytes);
	free(source);
}

void wanted_dist_release(struct wanted_dist *dist)
{
	free(dist->name);
	free(dist->version);
	for (size_t i = 0; i < dist->wheel_count; i++)
		wanted_wheel_release(&dist->wheels[i]);
	free(dist->wheels);
	wanted_source_free(dist->source);
	for (size_t i = 0; i < dist->hash_count; i++)
		wanted_bytes_release(&dist->hashes[i]);
	free(dist->hashes);
	*dist = (struct wanted_dist){ .name = NULL };
}

static void free_texts(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

void wanted_release(struct wanted *wanted)
{
	for (size_t i = 0; i < wanted->count; i++)
		wanted_dist_release(&wanted->dists[i]);
	free(wanted->dists);
	free(wanted->indexes.index_url);
	free_texts(wanted->indexes.extra_urls, wanted->indexes.extra_count);
	free_texts(wanted->indexes.find_links, wanted->indexes.find_count);
	*wanted = (struct wanted){ .dists = NULL };
}
