/*
 * From a build to the bytes of FORMAT.md. The result depends on what was added, never on
 * the order: entries are numbered breadth first with names sorted, every table follows
 * the numbers, and content stands by likely first use, so that the same wheel becomes the
 * same image.
 */
#include "cache/base/file.h"
#include "cache/store/image_build.h"
#include "cache/store/image_private.h"

#include <errno.h>
#include <stdlib.h>

struct layout {
	struct image_build *b;
	uint32_t *sorted;     /* nodes by (parent, name): children stand together */
	uint32_t *order;      /* order[number] = node */
	uint32_t *link_first; /* by node that has the content: the lowest entry of its
				 hard links */
	uint32_t *data_order; /* small files in the order of their content */
	uint32_t data_count;
	uint64_t *data_at; /* by node: offset in the data region; file: its first sum */
	uint64_t *sum_at;
	struct buffer sections[SECTION_KINDS];
	struct buffer content;      /* the sections one after another */
	uint64_t at[SECTION_KINDS]; /* offsets in it */
	uint64_t body, meta_size, data_size;
};

static void layout_release(struct layout *l)
{
	free(l->sorted);
	free(l->order);
	free(l->link_first);
	free(l->data_order);
	free(l->data_at);
	free(l->sum_at);
	for (int i = 0; i < SECTION_KINDS; i++)
		buffer_release(&l->sections[i]);
	buffer_release(&l->content);
}

static int layout_init(struct layout *l, struct image_build *b)
{
	*l = (struct layout){ .b = b };
	size_t count = b->count;
	l->sorted = calloc(count, sizeof(*l->sorted));
	l->order = calloc(count, sizeof(*l->order));
	l->link_first = calloc(count, sizeof(*l->link_first));
	l->data_order = calloc(count, sizeof(*l->data_order));
	l->data_at = calloc(count, sizeof(*l->data_at));
	l->sum_at = calloc(count, sizeof(*l->sum_at));
	return l->sorted && l->order && l->link_first && l->data_order && l->data_at &&
		       l->sum_at
		   ? 0
		   : -ENOMEM;
}

static int compare_nodes(const void *a, const void *b, void *context)
{
	const struct node *nodes = context;
	const struct node *x = &nodes[*(const uint32_t *)a];
	const struct node *y = &nodes[*(const uint32_t *)b];
	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	size_t shorter = x->name_size < y->name_size ? x->name_size : y->name_size;
	int order = memcmp(x->path + x->name_at, y->path + y->name_at, shorter);
	return order ? order
		     : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

static void number_entries(struct layout *l)
{
	struct node *nodes = l->b->nodes;
	uint32_t count = l->b->count;
	nodes[0].children = 0;
	for (uint32_t i = 1; i < count; i++) {
		nodes[i].children = 0;
		l->sorted[i - 1] = i;
	}
	qsort_r(l->sorted, count - 1, sizeof(*l->sorted), compare_nodes, nodes);
	for (uint32_t i = 0; i < count - 1; i++) {
		struct node *parent = &nodes[nodes[l->sorted[i]].parent];
		if (parent->children++ == 0)
			parent->first_child = i; /* in `sorted`, until it is numbered */
	}
	uint32_t next = 1;
	for (uint32_t number = 0; number < count; number++) {
		struct node *n = &nodes[l->order[number]];
		uint32_t first = n->first_child;
		n->number = number;
		n->first_child = n->children ? next : 0;
		for (uint32_t i = 0; i < n->children; i++)
			l->order[next++] = l->sorted[first + i];
	}
}

/* The node that was given the content which a hard link shows. */
static uint32_t content_node(const struct layout *l, uint32_t node)
{
	return l->b->nodes[node].has_link ? l->b->nodes[node].link : node;
}

/* Of several links of one file the lowest entry is the first, whichever was added first.
 */
static void find_first_links(struct layout *l)
{
	for (uint32_t number = l->b->count; number-- > 0;) {
		uint32_t node = l->order[number];
		l->link_first[content_node(l, node)] = node;
	}
}

static bool in_tests(const char *path)
{
	return strstr(path, "/tests/") || strstr(path, "/test/");
}

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text);
	size_t end_size = strlen(end);
	return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Likely first use: what tools list at start, then modules, then the rest, tests last. */
static int rank(const struct node *n)
{
	if (strstr(n->path, ".dist-info/"))
		return 0;
	if (in_tests(n->path))
		return 3;
	return ends_with(n->path, ".py") || ends_with(n->path, ".so") ? 1 : 2;
}

static bool is_small_file(const struct node *n)
{
	return n->type == ENTRY_FILE && !(n->flags & FLAG_OBJECT);
}

static void place_data(struct layout *l)
{
	for (int wanted = 0; wanted <= 3; wanted++) {
		for (uint32_t number = 0; number < l->b->count; number++) {
			uint32_t i = l->order[number];
			const struct node *n = &l->b->nodes[i];
			if (!is_small_file(n) || n->has_link || rank(n) != wanted)
				continue;
			l->data_order[l->data_count++] = i;
			l->data_at[i] = l->data_size;
			l->data_size += n->size;
		}
	}
}

static int put_sums(struct layout *l, uint32_t node)
{
	const struct node *n = &l->b->nodes[node];
	if (n->type != ENTRY_FILE || n->size <= IMAGE_BLOCK || n->has_link)
		return 0;
	struct buffer *sums = &l->sections[SECTION_SUMS];
	l->sum_at[node] = sums->size / 8;
	return buffer_append(sums, l->b->sums.data + n->sum * 8,
			     block_count(n->size) * 8);
}

static int put_rows(struct layout *l, uint32_t node)
{
	const struct node *n = &l->b->nodes[node];
	uint8_t row[SHA256_ROW];
	int r = 0;
	store_le32(row, n->number);
	const struct node *content = &l->b->nodes[content_node(l, node)];
	if (content->has_sha256) {
		memcpy(row + 4, content->sha256.bytes, sizeof(content->sha256.bytes));
		r = buffer_append(&l->sections[SECTION_SHA256], row, SHA256_ROW);
	}
	if (r == 0 && n->has_owner) {
		store_le32(row + 4, n->uid);
		store_le32(row + 8, n->gid);
		r = buffer_append(&l->sections[SECTION_OWNERS], row, OWNER_ROW);
	}
	uint32_t first = l->link_first[content_node(l, node)];
	if (r == 0 && first != node) {
		store_le32(row + 4, l->b->nodes[first].number);
		r = buffer_append(&l->sections[SECTION_LINKS], row, LINK_ROW);
	}
	return r < 0 ? r : put_sums(l, node);
}

static int compare_xattrs(const void *a, const void *b, void *context)
{
	const struct image_build *build = context;
	const struct node_xattr *x = a;
	const struct node_xattr *y = b;
	uint32_t nx = build->nodes[x->node].number;
	uint32_t ny = build->nodes[y->node].number;
	if (nx != ny)
		return nx < ny ? -1 : 1;
	size_t shorter = x->name_size < y->name_size ? x->name_size : y->name_size;
	int order = memcmp(build->xattr_bytes.data + x->name_at,
			   build->xattr_bytes.data + y->name_at, shorter);
	return order ? order
		     : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

static int put_xattrs(struct layout *l)
{
	struct image_build *b = l->b;
	struct buffer *bytes = &l->sections[SECTION_XATTR_BYTES];
	struct node_xattr x;
	size_t count = b->xattrs.size / sizeof(x);
	if (count > 1)
		qsort_r(b->xattrs.data, count, sizeof(x), compare_xattrs, b);
	for (size_t i = 0; i < count; i++) {
		uint8_t row[XATTR_ROW];
		memcpy(&x, b->xattrs.data + i * sizeof(x), sizeof(x));
		store_le32(row, b->nodes[x.node].number);
		store_le32(row + 4, (uint32_t)bytes->size);
		store_le32(row + 8, x.name_size);
		store_le32(row + 12, (uint32_t)bytes->size + x.name_size);
		store_le32(row + 16, x.value_size);
		int r = buffer_append(&l->sections[SECTION_XATTRS], row, XATTR_ROW);
		if (r == 0)
			r = buffer_append(bytes, b->xattr_bytes.data + x.name_at,
					  x.name_size);
		if (r == 0)
			r = buffer_append(bytes, b->xattr_bytes.data + x.value_at,
					  x.value_size);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Everything but the entries, which need to know where the data will be. */
static int make_tables(struct layout *l)
{
	struct image_build *b = l->b;
	int r = 0;
	for (uint32_t number = 0; r == 0 && number < b->count; number++)
		r = put_rows(l, l->order[number]);
	if (r == 0)
		r = put_xattrs(l);
	if (r == 0)
		r = buffer_append(&l->sections[SECTION_RECORD], b->record.data,
				  b->record.size);
	if (r == 0)
		r = buffer_append(&l->sections[SECTION_INFO], b->info.data, b->info.size);
	return r;
}

static uint64_t entry_data(const struct layout *l, uint32_t node, uint64_t target_at)
{
	const struct node *n = &l->b->nodes[node];
	if (n->type == ENTRY_DIRECTORY)
		return n->first_child;
	if (n->type == ENTRY_SYMLINK)
		return target_at;
	return is_small_file(n) ? l->meta_size + l->data_at[content_node(l, node)] : 0;
}

static int put_entry(struct layout *l, uint32_t node)
{
	const struct node *n = &l->b->nodes[node];
	const struct node *content = &l->b->nodes[content_node(l, node)];
	struct buffer *names = &l->sections[SECTION_NAMES];
	uint8_t row[ENTRY_SIZE] = { 0 };
	store_le32(row + ENTRY_NAME, (uint32_t)names->size);
	store_le16(row + ENTRY_NAME_SIZE, (uint16_t)n->name_size);
	row[ENTRY_TYPE] = (uint8_t)n->type;
	row[ENTRY_FLAGS] = (uint8_t)(n->flags | (content->flags & FLAG_OBJECT));
	store_le16(row + ENTRY_MODE, n->mode);
	store_le32(row + ENTRY_MTIME_NSEC, content->mtime_nsec);
	store_le64(row + ENTRY_MTIME, (uint64_t)content->mtime);
	store_le64(row + ENTRY_LENGTH,
		   n->type == ENTRY_DIRECTORY ? n->children : content->size);
	memcpy(row + ENTRY_DIGEST, content->digest.bytes, sizeof(content->digest.bytes));
	store_le64(row + ENTRY_DATA, entry_data(l, node, names->size + n->name_size));
	store_le32(row + ENTRY_PARENT, l->b->nodes[n->parent].number);
	store_le32(row + ENTRY_SUM, (uint32_t)l->sum_at[content_node(l, node)]);
	int r = buffer_append(names, n->path + n->name_at, n->name_size);
	if (r == 0 && n->type == ENTRY_SYMLINK)
		r = buffer_append(names, l->b->targets.data + n->data, n->size);
	return r < 0 ? r : buffer_append(&l->sections[SECTION_ENTRIES], row, sizeof(row));
}

static uint64_t names_size(const struct image_build *b)
{
	uint64_t size = b->targets.size;
	for (uint32_t i = 0; i < b->count; i++)
		size += b->nodes[i].name_size;
	return size;
}

static uint64_t align(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Where each section will stand; the two that are still to be written by their known
 * sizes. */
static int place_sections(struct layout *l, uint32_t *ret_sections)
{
	uint64_t size = 0;
	uint32_t sections = 0;
	for (int kind = 1; kind < SECTION_KINDS; kind++) {
		uint64_t own = l->sections[kind].size;
		if (kind == SECTION_ENTRIES)
			own = (uint64_t)l->b->count * ENTRY_SIZE;
		else if (kind == SECTION_NAMES)
			own = names_size(l->b);
		if (own == 0 && !(kind == SECTION_RECORD && l->b->has_record))
			continue;
		l->at[kind] = size;
		size = align(size + own, 8);
		sections++;
	}
	uint64_t pages = (size + FORMAT_PAGE - 1) / FORMAT_PAGE;
	l->body =
	    align(HEAD_TABLE + (uint64_t)sections * SECTION_SIZE + pages * 8, ENTRY_SIZE);
	l->meta_size = l->body + size;
	*ret_sections = sections;
	return size > UINT32_MAX / 2 ? -EFBIG : 0;
}

static int join_sections(struct layout *l, uint8_t *table)
{
	for (int kind = 1; kind < SECTION_KINDS; kind++) {
		const struct buffer *s = &l->sections[kind];
		if (s->size == 0 && !(kind == SECTION_RECORD && l->b->has_record))
			continue;
		store_le32(table, (uint32_t)kind);
		store_le64(table + 8, l->body + l->at[kind]);
		store_le64(table + 16, s->size);
		table += SECTION_SIZE;
		int r = buffer_append(&l->content, s->data, s->size);
		if (r == 0)
			r = buffer_append_zeros(&l->content, -s->size & 7);
		if (r < 0)
			return r;
	}
	return 0;
}

static void fill_head(const struct layout *l, uint8_t *head, uint32_t sections,
		      struct digest_stream *s, struct digest *ret_id)
{
	memcpy(head + HEAD_MAGIC, FORMAT_MAGIC, strlen(FORMAT_MAGIC));
	store_le32(head + HEAD_VERSION, FORMAT_VERSION);
	store_le64(head + HEAD_IMAGE_SIZE, l->meta_size + l->data_size);
	store_le64(head + HEAD_META_SIZE, l->meta_size);
	store_le64(head + HEAD_BODY, l->body);
	store_le32(head + HEAD_ENTRIES, l->b->count);
	store_le32(head + HEAD_SECTIONS, sections);
	uint8_t *sums = head + HEAD_TABLE + (size_t)sections * SECTION_SIZE;
	for (size_t at = 0; at < l->content.size; at += FORMAT_PAGE, sums += 8) {
		size_t size = l->content.size - at;
		store_le64(sums, digest_sum64(l->content.data + at,
					      size < FORMAT_PAGE ? size : FORMAT_PAGE));
	}
	digest_stream_add(s, head, l->body);
	digest_stream_add(s, l->content.data, l->content.size);
	*ret_id = digest_stream_end(s);
	memcpy(head + HEAD_ID, ret_id->bytes, sizeof(ret_id->bytes));
	store_le64(head + HEAD_SUM, digest_sum64(head, l->body));
}

/* Content on its way to the file, in large pieces. */
struct outflow {
	struct buffer bytes;
	int fd;
	uint64_t at;
};

static int flush_outflow(struct outflow *o)
{
	int r = file_pwrite_all(o->fd, o->bytes.data, o->bytes.size, o->at);
	o->at += o->bytes.size;
	o->bytes.size = 0;
	return r;
}

static int write_node(const struct layout *l, const struct node *n, struct outflow *o)
{
	int r = 0;
	for (uint64_t done = 0; r == 0 && done < n->size;) {
		size_t part = o->bytes.room - o->bytes.size;
		if (part > n->size - done)
			part = (size_t)(n->size - done);
		r = spool_read(&l->b->spool, n->data + done,
			       o->bytes.data + o->bytes.size, part);
		o->bytes.size += part;
		done += part;
		if (r == 0 && o->bytes.size == o->bytes.room)
			r = flush_outflow(o);
	}
	return r;
}

/* Metadata, then content; a small image goes out in one piece. */
static int write_all(const struct layout *l, const struct buffer *head, int fd,
		     uint64_t at)
{
	enum { PART = 1 << 20 };
	struct outflow o = { .bytes = BUFFER_INIT, .fd = fd, .at = at };
	/* Memory by the MiB would be mapped anew for each of the small ones. */
	uint64_t data_room = l->data_size < PART ? l->data_size : PART;
	int r = buffer_reserve(&o.bytes, l->meta_size + data_room);
	if (r == 0)
		r = buffer_append(&o.bytes, head->data, head->size);
	if (r == 0)
		r = buffer_append(&o.bytes, l->content.data, l->content.size);
	for (uint32_t i = 0; r == 0 && i < l->data_count; i++)
		r = write_node(l, &l->b->nodes[l->data_order[i]], &o);
	if (r == 0)
		r = flush_outflow(&o);
	buffer_release(&o.bytes);
	return r;
}

static int make_metadata(struct layout *l, struct buffer *ret_head, struct digest *ret_id)
{
	uint32_t sections = 0;
	int r = make_tables(l);
	if (r == 0)
		r = place_sections(l, &sections);
	for (uint32_t number = 0; r == 0 && number < l->b->count; number++)
		r = put_entry(l, l->order[number]);
	if (r == 0)
		r = buffer_append_zeros(ret_head, l->body);
	if (r == 0)
		r = join_sections(l, ret_head->data + HEAD_TABLE);
	if (r < 0)
		return r;
	CLEANUP(digest_stream_freep) struct digest_stream *s = digest_stream_new();
	if (!s)
		return -ENOMEM;
	fill_head(l, ret_head->data, sections, s, ret_id);
	return 0;
}

int image_build_write(struct image_build *b, int fd, uint64_t offset, uint64_t *ret_size,
		      struct digest *ret_id)
{
	CLEANUP(layout_release) struct layout l;
	cleanup_buffer struct buffer head = BUFFER_INIT;
	struct digest id;
	int r = layout_init(&l, b);
	if (r < 0)
		return r;
	number_entries(&l);
	find_first_links(&l);
	place_data(&l);
	r = make_metadata(&l, &head, &id);
	if (r == 0)
		r = write_all(&l, &head, fd, offset);
	if (r < 0)
		return r;
	*ret_size = l.meta_size + l.data_size;
	*ret_id = id;
	return 0;
}
