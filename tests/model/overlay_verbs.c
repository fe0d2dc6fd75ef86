/* Each verb of overlay_driver is one call of the overlay. */
#include "tests/model/overlay_driver.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

static int do_lookup(struct driver *d, struct request *q, struct answer *a)
{
	struct stat st;
	int r = overlay_lookup(d->overlay, request_number(q, 0), request_text(q, 0), &st);
	return r < 0 ? r : answer_add_stat(a, &st);
}

static int do_stat(struct driver *d, struct request *q, struct answer *a)
{
	struct stat st;
	int r = overlay_stat(d->overlay, request_number(q, 0), &st);
	return r < 0 ? r : answer_add_stat(a, &st);
}

static int do_parent(struct driver *d, struct request *q, struct answer *a)
{
	uint64_t parent = 0;
	int r = overlay_parent(d->overlay, request_number(q, 0), &parent);
	answer_add(a, (int64_t)parent);
	return r;
}

static int do_readlink(struct driver *d, struct request *q, struct answer *a)
{
	a->has_bytes = true;
	return overlay_readlink(d->overlay, request_number(q, 0), &a->bytes);
}

static int do_statfs(struct driver *d, struct request *q, struct answer *a)
{
	struct statvfs st;
	(void)q;
	int r = overlay_statfs(d->overlay, &st);
	if (r < 0)
		return r;
	answer_add(a, (int64_t)st.f_bsize);
	answer_add(a, (int64_t)st.f_blocks);
	answer_add(a, (int64_t)st.f_bfree);
	answer_add(a, (int64_t)st.f_bavail);
	answer_add(a, (int64_t)st.f_namemax);
	return 0;
}

struct listing {
	struct answer *answer;
	size_t room;
};

static int add_child(void *context, const struct overlay_child *child)
{
	enum { HEAD = 20 };
	struct listing *l = context;
	size_t size = (HEAD + child->name_size + 7) / 8 * 8;
	if (size > l->room)
		return 1;
	l->room -= size;
	answer_add(l->answer, (int64_t)child->st.st_ino);
	answer_add(l->answer, child->st.st_mode);
	answer_add(l->answer, (int64_t)child->cookie);
	answer_add_bytes(l->answer, child->name, child->name_size);
	answer_add_bytes(l->answer, "", 1);
	return 0;
}

/* node after room full: (node, mode, cookie) of as many as getdents would give. */
static int do_list(struct driver *d, struct request *q, struct answer *a)
{
	struct listing l = { .answer = a, .room = request_number(q, 2) };
	a->has_bytes = true;
	int r = overlay_list(d->overlay, request_number(q, 0), request_number(q, 1),
			     q->numbers[3] != 0, add_child, &l);
	return r < 0 ? r : 0;
}

static int do_read(struct driver *d, struct request *q, struct answer *a)
{
	struct image_bytes bytes;
	size_t size = request_number(q, 2) < READ_MOST ? request_number(q, 2) : READ_MOST;
	int r = overlay_read(d->overlay, request_number(q, 0), request_number(q, 1), size,
			     d->scratch, &bytes);
	if (r == 0)
		answer_add_bytes(a, bytes.data, bytes.size);
	return r;
}

static int give(struct answer *a, ssize_t n)
{
	if (n >= 0)
		answer_add(a, n);
	return n < 0 ? (int)n : 0;
}

static int do_write(struct driver *d, struct request *q, struct answer *a)
{
	return give(a, overlay_write(d->overlay, &d->caller, request_number(q, 0),
				     request_number(q, 1), q->parts[0].data,
				     q->parts[0].size));
}

static int do_copy(struct driver *d, struct request *q, struct answer *a)
{
	const struct overlay_copy copy = { .from = request_number(q, 0),
					   .from_offset = request_number(q, 1),
					   .to = request_number(q, 2),
					   .to_offset = request_number(q, 3),
					   .size = request_number(q, 4) };
	return give(a, overlay_copy(d->overlay, &d->caller, &copy));
}

static int do_allocate(struct driver *d, struct request *q, struct answer *a)
{
	(void)a;
	return overlay_allocate(d->overlay, &d->caller, request_number(q, 0),
				(int)q->numbers[1], request_number(q, 2),
				request_number(q, 3));
}

static int do_seek(struct driver *d, struct request *q, struct answer *a)
{
	uint64_t found = 0;
	int r = overlay_seek(d->overlay, request_number(q, 0), request_number(q, 1),
			     (int)q->numbers[2], &found);
	answer_add(a, (int64_t)found);
	return r;
}

static int do_sync(struct driver *d, struct request *q, struct answer *a)
{
	(void)a;
	return overlay_sync(d->overlay, request_number(q, 0), q->numbers[1] != 0);
}

static int do_remember(struct driver *d, struct request *q, struct answer *a)
{
	(void)a;
	return overlay_remember(d->overlay, request_number(q, 0));
}

static int do_forget(struct driver *d, struct request *q, struct answer *a)
{
	(void)a;
	overlay_forget(d->overlay, request_number(q, 0), 1, NULL);
	return 0;
}

/* Ends a change that gave a node out; the kernel remembers it only when it is open. */
static int made(struct driver *d, struct answer *a, int r, const struct stat *st,
		bool keep)
{
	if (r < 0)
		return r;
	overlay_release(d->overlay);
	if (!keep)
		overlay_forget(d->overlay, st->st_ino, 1, NULL);
	return answer_add_stat(a, st);
}

/* dir mode keep +name [+target] */
static int do_make(struct driver *d, struct request *q, struct answer *a)
{
	const struct overlay_new what = { .mode = (mode_t)q->numbers[1],
					  .target = q->parts[1].data ? request_text(q, 1)
								     : NULL };
	struct stat st;
	int r = overlay_make(d->overlay, &d->caller, request_number(q, 0),
			     request_text(q, 0), &what, &st);
	return made(d, a, r, &st, q->numbers[2] != 0);
}

static int do_nameless(struct driver *d, struct request *q, struct answer *a)
{
	struct stat st;
	int r = overlay_make_nameless(d->overlay, &d->caller, request_number(q, 0),
				      (mode_t)q->numbers[1], &st);
	return made(d, a, r, &st, true);
}

static int do_link(struct driver *d, struct request *q, struct answer *a)
{
	struct stat st;
	int r = overlay_link(d->overlay, &d->caller, request_number(q, 0),
			     request_number(q, 1), request_text(q, 0), &st);
	return made(d, a, r, &st, false);
}

static int released(struct driver *d, int r)
{
	if (r == 0)
		overlay_release(d->overlay);
	return r;
}

static int do_remove(struct driver *d, struct request *q, struct answer *a)
{
	(void)a;
	return released(d, overlay_remove(d->overlay, &d->caller, request_number(q, 0),
					  request_text(q, 0), q->numbers[1] != 0));
}

/* from_dir to_dir flags +from +to */
static int do_rename(struct driver *d, struct request *q, struct answer *a)
{
	const struct overlay_rename rename = { .from_dir = request_number(q, 0),
					       .to_dir = request_number(q, 1),
					       .from = request_text(q, 0),
					       .to = request_text(q, 1),
					       .flags = (unsigned)q->numbers[2] };
	(void)a;
	return released(d, overlay_rename(d->overlay, &d->caller, &rename));
}

/* node flags mode uid gid size atime ns mtime ns */
static int do_set(struct driver *d, struct request *q, struct answer *a)
{
	const struct stat want = { .st_mode = (mode_t)q->numbers[2],
				   .st_uid = (uid_t)q->numbers[3],
				   .st_gid = (gid_t)q->numbers[4],
				   .st_size = q->numbers[5],
				   .st_atim = { q->numbers[6], q->numbers[7] },
				   .st_mtim = { q->numbers[8], q->numbers[9] } };
	struct stat st;
	struct stat later;
	int r = overlay_set(d->overlay, &d->caller, request_number(q, 0),
			    (unsigned)q->numbers[1], &want, &st);
	if (r < 0)
		return r;
	/* The kernel keeps what the answer says. */
	r = overlay_stat(d->overlay, request_number(q, 0), &later);
	if (r == 0 && memcmp(&st, &later, sizeof(st)) != 0)
		return -EBADMSG;
	return r < 0 ? r : answer_add_stat(a, &st);
}

static int do_get_xattr(struct driver *d, struct request *q, struct answer *a)
{
	a->has_bytes = true;
	return overlay_get_xattr(d->overlay, request_number(q, 0), request_text(q, 0),
				 &a->bytes);
}

static int do_list_xattrs(struct driver *d, struct request *q, struct answer *a)
{
	a->has_bytes = true;
	return overlay_list_xattrs(d->overlay, request_number(q, 0), &a->bytes);
}

static int do_set_xattr(struct driver *d, struct request *q, struct answer *a)
{
	const struct overlay_xattr xattr = { .name = request_text(q, 0),
					     .value = request_text(q, 1),
					     .size = q->parts[1].size,
					     .flags = (int)q->numbers[1] };
	(void)a;
	return released(
	    d, overlay_set_xattr(d->overlay, &d->caller, request_number(q, 0), &xattr));
}

static int do_remove_xattr(struct driver *d, struct request *q, struct answer *a)
{
	const struct overlay_xattr xattr = { .name = request_text(q, 0) };
	(void)a;
	return released(
	    d, overlay_set_xattr(d->overlay, &d->caller, request_number(q, 0), &xattr));
}

static const struct {
	const char *name;
	verb *run;
} verbs[] = {
	{ "walk", do_walk },           { "parent-of", do_parent_of },
	{ "lookup", do_lookup },       { "stat", do_stat },
	{ "parent", do_parent },       { "readlink", do_readlink },
	{ "statfs", do_statfs },       { "list", do_list },
	{ "read", do_read },           { "write", do_write },
	{ "copy", do_copy },           { "allocate", do_allocate },
	{ "seek", do_seek },           { "sync", do_sync },
	{ "remember", do_remember },   { "forget", do_forget },
	{ "make", do_make },           { "nameless", do_nameless },
	{ "link", do_link },           { "remove", do_remove },
	{ "rename", do_rename },       { "set", do_set },
	{ "get-xattr", do_get_xattr }, { "list-xattrs", do_list_xattrs },
	{ "set-xattr", do_set_xattr }, { "remove-xattr", do_remove_xattr },
};

verb *verb_find(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return verbs[i].run;
	}
	return NULL;
}
