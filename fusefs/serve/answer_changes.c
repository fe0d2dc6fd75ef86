#include "fusefs/serve/answer_changes.h"

#include "fusefs/overlay/report.h"

#include <errno.h>
#include <string.h>

enum {
	PAGE_BYTES = 40 << 10, /* of a message of 64 KiB at most, with room for escapes */
	ROW_BYTES = 120,       /* of a row beside its path */
};

struct page {
	json_t *rows;
	int64_t from, at;
	size_t bytes;
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

static int add(void *context, const struct overlay_change *change)
{
	struct page *p = context;
	const char *key;
	if (p->at++ < p->from)
		return 0;
	p->bytes += ROW_BYTES + 2 * strlen(change->path);
	if (p->bytes > PAGE_BYTES && json_array_size(p->rows) > 0)
		return 1;
	json_t *path = path_value(change->path, &key);
	json_t *row = path ? json_pack("{s:o, s:s, s:I, s:I}", key, path, "kind",
				       change_kind_name(change->kind), "change",
				       (json_int_t)change->change, "stamp",
				       (json_int_t)change->stamp)
			   : NULL;
	return row && json_array_append_new(p->rows, row) == 0 ? 0 : -ENOMEM;
}

json_t *answer_changes(struct overlay *overlay, int64_t from)
{
	struct page p = { .rows = json_array(), .from = from < 0 ? 0 : from };
	cleanup_json json_t *answer = json_object();
	if (!p.rows || !answer || json_object_set_new(answer, "changes", p.rows) < 0)
		return NULL;
	int r = overlay_changes(overlay, add, &p);
	if (r < 0)
		return json_pack("{s:s}", "error", strerror(-r));
	if (r == 1 &&
	    json_object_set_new(answer, "next", json_integer((json_int_t)(p.at - 1))) < 0)
		return NULL;
	return steal_ptr(answer);
}
