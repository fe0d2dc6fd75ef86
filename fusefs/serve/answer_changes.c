#include "fusefs/serve/answer_changes.h"

#include "fusefs/overlay/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * Where the next page begins is told as "<directory>/<name in hex>", that of the last row
 * of this one.
 */
enum {
	PAGE_BYTES = 60 << 10, /* of a message of 64 KiB at most */
	NAME_MOST = 255,
	HEX_MOST = 2 * NAME_MOST,
	AT_SIZE = 24 + HEX_MOST,
};

struct page {
	json_t *rows;
	size_t bytes;
	char last[AT_SIZE]; /* empty: there is none yet */
};

static json_t *path_value(const char *path, const char **ret_key)
{
	json_t *value = json_string(path);
	cleanup_free char *hex = value ? NULL : malloc(2 * strlen(path) + 1);
	*ret_key = value ? "path" : "bytes";
	if (value || !hex)
		return value;
	hex_encode(path, strlen(path), hex);
	return json_string(hex);
}

/* Takes what says where it is. */
static json_t *make_row(const struct overlay_change *change, const char *key,
			json_t *take_where)
{
	return take_where ? json_pack("{s:o, s:s, s:I, s:I}", key, take_where, "kind",
				      change_kind_name(change->kind), "change",
				      (json_int_t)change->change, "stamp",
				      (json_int_t)change->stamp)
			  : NULL;
}

/* As it is printed. */
static size_t size_of(const json_t *row)
{
	return json_dumpb(row, NULL, 0, JSON_COMPACT) + 1;
}

static json_t *row_of(const struct overlay_change *change)
{
	const char *key;
	json_t *path = path_value(change->path, &key);
	cleanup_json json_t *row = make_row(change, key, path);
	if (!row || size_of(row) <= PAGE_BYTES)
		return steal_ptr(row);
	return make_row(change, "length", json_integer((json_int_t)strlen(change->path)));
}

static void note_last(struct page *p, const struct overlay_place *place)
{
	char hex[HEX_MOST + 1];
	hex_encode(place->name, place->name_size, hex);
	(void)snprintf(p->last, sizeof(p->last), "%" PRIu64 "/%s", place->dir, hex);
}

static int add(void *context, const struct overlay_change *change)
{
	struct page *p = context;
	cleanup_json json_t *row = row_of(change);
	if (!row)
		return -ENOMEM;
	p->bytes += size_of(row);
	if (p->bytes > PAGE_BYTES && *p->last)
		return 1;
	note_last(p, &change->place);
	return json_array_append(p->rows, row) == 0 ? 0 : -ENOMEM;
}

static bool parse_place(const char *from, char ret_name[NAME_MOST],
			struct overlay_place *ret)
{
	char *end;
	errno = 0;
	ret->dir = strtoull(from, &end, 10);
	size_t size = *end == '/' ? strlen(end + 1) : 0;
	ret->name = ret_name;
	ret->name_size = size / 2;
	return errno == 0 && end != from && ret->dir <= INT64_MAX && size > 0 &&
	       size % 2 == 0 && size <= HEX_MOST &&
	       hex_decode(end + 1, ret->name_size, ret_name);
}

json_t *answer_changes(struct overlay *overlay, const char *from)
{
	char name[NAME_MOST];
	struct overlay_place after;
	struct page p = { .rows = json_array() };
	cleanup_json json_t *answer = json_object();
	if (!p.rows || !answer || json_object_set_new(answer, "changes", p.rows) < 0)
		return NULL;
	if (from && !parse_place(from, name, &after))
		return json_pack("{s:s}", "error", strerror(EINVAL));
	int r = overlay_changes(overlay, from ? &after : NULL, add, &p);
	if (r < 0)
		return json_pack("{s:s}", "error", strerror(-r));
	if (r == 1 && json_object_set_new(answer, "next", json_string(p.last)) < 0)
		return NULL;
	return steal_ptr(answer);
}
