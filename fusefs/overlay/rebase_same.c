#include "fusefs/overlay/rebase_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool rebase_is_bytecode(bool in_cache, const char *name, size_t size)
{
	static const char ending[] = ".pyc";
	enum { SIZE = sizeof(ending) - 1 };
	return in_cache && size > SIZE && memcmp(name + size - SIZE, ending, SIZE) == 0;
}

struct comparing {
	struct rebase *r;
	uint64_t other;
	size_t count; /* of names that are no bytecode */
	bool same;
};

static int count_child(void *context, const struct node *child, uint64_t cookie)
{
	struct comparing *c = context;
	(void)cookie;
	c->count += !entry_is_bytecode_cache(&child->entry);
	return 0;
}

static int compare_child(void *context, const struct node *child, uint64_t cookie)
{
	struct comparing *c = context;
	struct node other;
	(void)cookie;
	if (entry_is_bytecode_cache(&child->entry))
		return 0;
	c->count++;
	int code = tree_lookup(c->r->q->after, c->other, child->entry.name,
			       child->entry.name_size, &other);
	if (code == 0)
		code = rebase_same_lower(c->r, child, &other, &c->same);
	else if (code == -ENOENT)
		c->same = false;
	if (code < 0 && code != -ENOENT)
		return code;
	return c->same ? 0 : 1;
}

/* Every name below is in the other one, and the other one has no more. */
static int same_directory(struct rebase *r, uint64_t before, uint64_t after, bool *ret)
{
	struct comparing c = { .r = r, .other = after, .same = true };
	struct comparing other = { .r = r };
	int code = tree_list(r->q->before, before, 0, compare_child, &c);
	if (code == 0)
		code = tree_list(r->q->after, after, 0, count_child, &other);
	*ret = code == 0 && c.same && c.count == other.count;
	return code < 0 ? code : 0;
}

static int same_target(const struct node *a, const struct node *b, bool *ret)
{
	const char *x;
	const char *y;
	int code = image_readlink(a->image, &a->entry, &x);
	if (code == 0)
		code = image_readlink(b->image, &b->entry, &y);
	*ret = code == 0 && a->entry.size == b->entry.size &&
	       memcmp(x, y, a->entry.size) == 0;
	return code;
}

int rebase_same_lower(struct rebase *r, const struct node *lo, const struct node *ln,
		      bool *ret)
{
	*ret = lo->entry.type == ln->entry.type;
	if (!*ret)
		return 0;
	if (lo->entry.type == ENTRY_FILE)
		*ret = digest_equal(&lo->entry.digest, &ln->entry.digest);
	else if (lo->entry.type == ENTRY_SYMLINK)
		return same_target(lo, ln, ret);
	else if (lo->entry.type == ENTRY_DIRECTORY)
		return same_directory(r, lo->id, ln->id, ret);
	return 0;
}

static int digest_content(int fd, struct digest *ret)
{
	CLEANUP(digest_stream_freep) struct digest_stream *stream = digest_stream_new();
	cleanup_free void *chunk = malloc(COPY_CHUNK);
	ssize_t n = 0;
	off_t at = 0;
	if (!stream || !chunk)
		return -ENOMEM;
	while ((n = pread(fd, chunk, COPY_CHUNK, at)) > 0) {
		digest_stream_add(stream, chunk, (size_t)n);
		at += n;
	}
	*ret = digest_stream_end(stream);
	return n < 0 ? -errno : 0;
}

/* Of a file as it was shown; its size first, as most files differ in that. */
static int equals_file(struct rebase *r, const struct found *f, const struct node *ln,
		       bool *ret)
{
	cleanup_content struct content_ref content = CONTENT_NONE;
	struct digest digest;
	struct stat st;
	*ret = false;
	int code = node_stat(r->o, f, &st);
	if (code < 0 || (uint64_t)st.st_size != ln->entry.size)
		return code;
	if (!(f->id & NODE_UPPER) && !(f->has_row && (f->row.flags & NODE_CONTENT))) {
		*ret = digest_equal(&f->lower.entry.digest, &ln->entry.digest);
		return 0;
	}
	code = content_open(r->q->upper, f->id, &content);
	if (code == -ENOENT)
		digest = digest_of("", 0);
	else if (code == 0)
		code = digest_content(content.fd, &digest);
	if (code < 0 && code != -ENOENT)
		return code;
	*ret = digest_equal(&digest, &ln->entry.digest);
	return 0;
}

static int equals_symlink(struct rebase *r, const struct found *f, const struct node *ln,
			  bool *ret)
{
	cleanup_buffer struct buffer own = BUFFER_INIT;
	const char *target;
	if (!(f->id & NODE_UPPER))
		return same_target(&f->lower, ln, ret);
	int code = upper_read_target(r->reader, f->id, &own);
	if (code == 0)
		code = image_readlink(ln->image, &ln->entry, &target);
	*ret = code == 0 && own.size == ln->entry.size &&
	       memcmp(own.data, target, own.size) == 0;
	return code;
}

int rebase_equals(struct rebase *r, const struct found *f, const struct node *ln,
		  bool *ret)
{
	struct stat st;
	struct stat other;
	int code = node_stat(r->o, f, &st);
	tree_stat(r->q->after, ln, &other);
	*ret = false;
	if (code < 0 || (st.st_mode & S_IFMT) != (other.st_mode & S_IFMT))
		return code;
	if (S_ISREG(st.st_mode))
		return equals_file(r, f, ln, ret);
	if (S_ISLNK(st.st_mode))
		return equals_symlink(r, f, ln, ret);
	*ret = !S_ISDIR(st.st_mode);
	return 0;
}
