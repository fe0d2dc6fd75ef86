/*
 * What was judged becomes what is there. Whenever it ends early, the rows and `base` are
 * both old or both new: numbers are given out first, content is then made under its new
 * ids, where no row speaks of it; one transaction exchanges the rows; content of the old
 * ids goes last. A crash leaves content too much at most, which goes at the next start
 * (upper_base_recover()).
 */
#include "fusefs/overlay/rebase_private.h"

#include "cache/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_live(const struct rebase_node *n)
{
	return n->names > 0 || n->is_root;
}

/* Nodes that no name leads to are none: their names were dropped with a directory. */
static int count_names(struct rebase *r)
{
	for (size_t i = 0; i < r->after.count; i++) {
		const struct upper_dentry *d = &r->after.items[i].d;
		if (d->node == 0)
			continue;
		size_t at = rebase_find_key(r, KEY_ID, d->node);
		size_t in = rebase_find_key(r, KEY_ID, d->parent);
		if (at == SIZE_MAX)
			return -EIO;
		r->nodes.items[at].names++;
		if (in != SIZE_MAX && S_ISDIR(r->nodes.items[at].row.mode))
			r->nodes.items[in].directories++;
	}
	for (size_t i = 0; i < r->nodes.count; i++) {
		struct rebase_node *n = &r->nodes.items[i];
		bool lower = n->row.id < NODE_UPPER;
		if (!lower)
			n->row.nlink =
			    S_ISDIR(n->row.mode) ? 2 + n->directories : n->names;
	}
	return 0;
}

static void settle_id(uint64_t *id, uint64_t first)
{
	if (*id >= PLACE_NODE)
		*id = NODE_UPPER | (first + (*id - PLACE_NODE));
}

static int give_numbers(struct rebase *r)
{
	uint64_t first = 0;
	int code = r->numbers ? upper_take_numbers(r->q->upper, r->numbers, &first) : 0;
	if (code < 0)
		return code;
	for (size_t i = 0; i < r->after.count; i++) {
		struct upper_dentry *d = &r->after.items[i].d;
		settle_id(&d->parent, first);
		settle_id(&d->node, first);
		if (d->cookie >= PLACE_COOKIE)
			d->cookie = COOKIE_UPPER | (first + (d->cookie - PLACE_COOKIE));
	}
	for (size_t i = 0; i < r->nodes.count; i++) {
		settle_id(&r->nodes.items[i].row.id, first);
		settle_id(&r->nodes.items[i].row.parent, first);
	}
	return 0;
}

static int copy_bytes(int from, int to, off_t size)
{
	while (size > 0) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)size, 0);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		size -= n;
	}
	return 0;
}

static int set_times(int fd, const struct timespec *atime, const struct timespec *mtime)
{
	const struct timespec times[] = { *atime, *mtime };
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int publish(struct upper *u, uint64_t id, int fd, int code)
{
	if (code == 0)
		code = content_publish(u, id, fd, true);
	if (code < 0)
		content_drop(u, id);
	return code;
}

/* Where one content becomes that of several nodes. */
static int copy_content(struct rebase *r, const struct rebase_node *n)
{
	struct upper *u = r->q->upper;
	cleanup_content struct content_ref from = CONTENT_NONE;
	struct stat st;
	int code = content_open(u, n->from, &from);
	cleanup_fd int fd = code < 0 ? code : content_stage(u, n->row.id);
	if (fd < 0)
		return fd;
	code = fstat(from.fd, &st) < 0 || lseek(from.fd, 0, SEEK_SET) < 0
		   ? -errno
		   : copy_bytes(from.fd, fd, st.st_size);
	if (code == 0)
		code = set_times(fd, &st.st_atim, &st.st_mtim);
	return publish(u, n->row.id, fd, code);
}

static int make_empty(struct rebase *r, const struct rebase_node *n)
{
	cleanup_fd int fd = content_stage(r->q->upper, n->row.id);
	return fd < 0 ? fd : publish(r->q->upper, n->row.id, fd, 0);
}

static int move_content(struct rebase *r, const struct rebase_node *n)
{
	size_t at = rebase_find_key(r, KEY_ID, n->from);
	bool stays = at != SIZE_MAX && is_live(&r->nodes.items[at]);
	int code = stays ? -EEXIST : content_link(r->q->upper, n->from, n->row.id);
	if (code == -EEXIST)
		code = copy_content(r, n);
	if (code != -ENOENT)
		return code;
	/* Cut to nothing, and lost in a power cut: it is empty. */
	return n->row.size == 0 ? make_empty(r, n) : -EIO;
}

static int copy_lower(struct rebase *r, const struct rebase_node *n)
{
	struct upper *u = r->q->upper;
	struct node lower;
	int code = tree_node(r->q->before, n->from, &lower);
	cleanup_fd int fd = code < 0 ? code : content_stage(u, n->row.id);
	if (fd < 0)
		return fd;
	code = content_copy_lower(&lower, lower.entry.size, fd);
	if (code == 0)
		code = set_times(fd, &n->row.atime, &n->row.mtime);
	return publish(u, n->row.id, fd, code);
}

static int make_content(struct rebase *r)
{
	int code = 0;
	for (size_t i = 0; code == 0 && i < r->nodes.count; i++) {
		const struct rebase_node *n = &r->nodes.items[i];
		if (!is_live(n) || n->content == CONTENT_STAYS)
			continue;
		code =
		    n->content == CONTENT_MOVED ? move_content(r, n) : copy_lower(r, n);
	}
	return code;
}

/* Nothing came of it. */
static void drop_content(struct rebase *r)
{
	for (size_t i = 0; i < r->nodes.count; i++) {
		const struct rebase_node *n = &r->nodes.items[i];
		if (n->content != CONTENT_STAYS && n->row.id < PLACE_NODE)
			(void)content_remove(r->q->upper, n->row.id);
	}
}

static bool is_same_name(const struct upper_dentry *a, const struct upper_dentry *b)
{
	return a->node == b->node && a->cookie == b->cookie && a->pin == b->pin &&
	       a->has_base == b->has_base &&
	       (!a->has_base || digest_equal(&a->base, &b->base));
}

/* Is there a row of that node after, too? */
static bool stays(const struct rebase *r, uint64_t id)
{
	size_t at = rebase_find_key(r, KEY_ID, id);
	return at != SIZE_MAX && is_live(&r->nodes.items[at]);
}

/* A node that goes takes the rows of the names in it along. */
static void mark_same(struct rebase *r)
{
	for (size_t i = 0; i < r->after.count; i++) {
		struct rebase_name *new = &r->after.items[i];
		const struct upper_dentry *d = &new->d;
		const struct rebase_name *found =
		    rebase_find_name(r, d->parent, d->name, d->name_size);
		if (!found || found->implied || !is_same_name(&found->d, d) ||
		    (rebase_find_row(r, d->parent) && !stays(r, d->parent)))
			continue;
		new->same = true;
		r->before.items[found - r->before.items].same = true;
	}
}

static int delete_rows(struct rebase *r)
{
	struct upper *u = r->q->upper;
	int code = 0;
	for (size_t i = 0; code == 0 && i < r->before.count; i++) {
		const struct rebase_name *n = &r->before.items[i];
		if (!n->same && !n->implied)
			code =
			    upper_delete_dentry(u, n->d.parent, n->text, n->d.name_size);
	}
	for (size_t i = 0; code == 0 && i < r->rows.count; i++) {
		if (!stays(r, r->rows.items[i].row.id))
			code = upper_delete_node(u, r->rows.items[i].row.id);
	}
	return code;
}

static int put_lower_xattrs(struct rebase *r, const struct rebase_node *n)
{
	struct node lower;
	struct xattr x;
	int code = tree_node(r->q->before, n->from, &lower);
	for (uint32_t i = 0;
	     code == 0 && (code = tree_xattr(r->q->before, &lower, i, &x)) == 0; i++) {
		cleanup_free char *name = strndup(x.name, x.name_size);
		code = name ? upper_put_xattr(r->q->upper, n->row.id, name, x.value,
					      x.value_size)
			    : -ENOMEM;
	}
	return code == -ENODATA ? 0 : code;
}

/* Before the rows of the old id go. */
static int copy_xattrs(struct rebase *r, const struct rebase_node *n)
{
	cleanup_buffer struct buffer names = BUFFER_INIT;
	if (n->lower_xattrs)
		return put_lower_xattrs(r, n);
	int code = upper_list_xattrs(r->reader, n->from, &names);
	const char *name = (const char *)names.data;
	const char *end = name ? name + names.size : NULL;
	for (; code == 0 && name < end; name += strlen(name) + 1) {
		cleanup_buffer struct buffer value = BUFFER_INIT;
		code = upper_find_xattr(r->reader, n->from, name, &value);
		if (code == 0)
			code = upper_put_xattr(r->q->upper, n->row.id, name, value.data,
					       value.size);
	}
	return code;
}

static int copy_all_xattrs(struct rebase *r)
{
	int code = 0;
	for (size_t i = 0; code == 0 && i < r->nodes.count; i++) {
		const struct rebase_node *n = &r->nodes.items[i];
		if (is_live(n) && n->row.id != n->from)
			code = copy_xattrs(r, n);
	}
	return code;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whatever the number of its change. */
static bool is_same_row(const struct upper_node *a, const struct upper_node *b)
{
	return a->flags == b->flags && a->mode == b->mode && a->uid == b->uid &&
	       a->gid == b->gid && a->nlink == b->nlink && a->rdev == b->rdev &&
	       a->size == b->size && a->parent == b->parent &&
	       is_same_time(&a->atime, &b->atime) && is_same_time(&a->mtime, &b->mtime) &&
	       is_same_time(&a->ctime, &b->ctime);
}

static int put_rows(struct rebase *r)
{
	struct upper *u = r->q->upper;
	int code = 0;
	for (size_t i = 0; code == 0 && i < r->nodes.count; i++) {
		const struct rebase_node *n = &r->nodes.items[i];
		const struct rebase_node *old = rebase_find_row(r, n->row.id);
		if (!is_live(n) || (old && is_same_row(&old->row, &n->row)))
			continue;
		code = old ? upper_update_node(u, &n->row)
			   : upper_insert_node(u, &n->row, n->target);
	}
	for (size_t i = 0; code == 0 && i < r->after.count; i++) {
		if (!r->after.items[i].same)
			code = upper_put_dentry(u, &r->after.items[i].d);
	}
	return code;
}

static int exchange_rows(struct rebase *r)
{
	struct upper *u = r->q->upper;
	int code = upper_begin(u, true, &r->reader);
	if (code < 0)
		return code;
	code = copy_all_xattrs(r);
	if (code == 0)
		code = delete_rows(r);
	if (code == 0)
		code = put_rows(r);
	if (code == 0)
		code = upper_base_stage(u, r->q->base, r->q->base_size);
	if (code == 0)
		code = upper_commit(u, NULL);
	upper_end(u);
	return code;
}

static int clean(struct rebase *r)
{
	int code = 0;
	for (size_t i = 0; code == 0 && i < r->rows.count; i++) {
		uint64_t id = r->rows.items[i].row.id;
		if (!stays(r, id))
			code = content_remove(r->q->upper, id);
	}
	return code;
}

static void at(const struct rebase *r, enum rebase_step step)
{
	if (r->q->at)
		r->q->at(r->q->context, step);
}

static int commit(struct rebase *r)
{
	int code = upper_base_announce(r->q->upper);
	if (code == 0)
		code = make_content(r);
	if (code == 0)
		at(r, REBASE_COPIED);
	if (code == 0)
		code = exchange_rows(r);
	if (code < 0) {
		drop_content(r);
		upper_base_drop(r->q->upper);
	}
	return code;
}

int rebase_apply(struct rebase *r)
{
	at(r, REBASE_JUDGED);
	int code = count_names(r);
	if (code == 0)
		code = give_numbers(r);
	if (code < 0)
		return code;
	at(r, REBASE_NUMBERED);
	mark_same(r);
	code = commit(r);
	if (code < 0)
		return code;
	at(r, REBASE_COMMITTED);
	/* The rows are on disk before what only the old ones speak of goes. */
	code = upper_sync(r->q->upper);
	if (code == 0)
		code = clean(r);
	at(r, REBASE_CLEANED);
	return code == 0 ? upper_base_settle(r->q->upper) : code;
}
