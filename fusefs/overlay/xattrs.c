#include "fusefs/overlay/overlay_private.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

/*
 * Extended attributes of a lower node are its image's until the first change of one; then
 * all of them are rows. Only names that mean nothing to the kernel are kept: ACLs and
 * capabilities that were stored and not enforced would be worse than none.
 */
static bool is_supported(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0;
}

static bool is_of_image(const struct found *f)
{
	return f->has_lower && !(f->has_row && (f->row.flags & NODE_XATTRS));
}

static int find(struct overlay *o, uint64_t node, struct upper_reader **ret_reader,
		struct found *ret)
{
	struct upper *upper = o->options.upper;
	*ret_reader = upper && upper_may_have(upper, node) ? upper_read(upper) : NULL;
	return node_find(o, *ret_reader, node, ret);
}

static int image_value(const struct found *f, const char *name, struct buffer *out)
{
	struct xattr x;
	size_t size = strlen(name);
	int r;
	for (uint32_t i = 0;
	     (r = image_xattr(f->lower.image, f->lower.entry.number, i, &x)) == 0; i++) {
		if (x.name_size == size && memcmp(x.name, name, size) == 0)
			return buffer_append(out, x.value, x.value_size);
	}
	return r;
}

int overlay_get_xattr(struct overlay *o, uint64_t node, const char *name,
		      struct buffer *out)
{
	struct upper_reader *reader;
	struct found f;
	if (!is_supported(name))
		return -EOPNOTSUPP;
	int r = find(o, node, &reader, &f);
	if (r == 0)
		r = is_of_image(&f) ? image_value(&f, name, out)
				    : upper_find_xattr(reader, node, name, out);
	if (o->options.upper)
		upper_read_end(o->options.upper, reader);
	return r;
}

static int image_names(const struct found *f, struct buffer *out)
{
	struct xattr x;
	int r;
	for (uint32_t i = 0;
	     (r = image_xattr(f->lower.image, f->lower.entry.number, i, &x)) == 0; i++) {
		r = buffer_append(out, x.name, x.name_size);
		if (r == 0)
			r = buffer_append(out, "", 1);
		if (r < 0)
			return r;
	}
	return r == -ENODATA ? 0 : r;
}

int overlay_list_xattrs(struct overlay *o, uint64_t node, struct buffer *out)
{
	struct upper_reader *reader;
	struct found f;
	int r = find(o, node, &reader, &f);
	if (r == 0)
		r = is_of_image(&f) ? image_names(&f, out)
				    : upper_list_xattrs(reader, node, out);
	if (o->options.upper)
		upper_read_end(o->options.upper, reader);
	return r;
}

static int take_from_image(struct overlay *o, const struct found *f)
{
	struct xattr x;
	int r;
	for (uint32_t i = 0;
	     (r = image_xattr(f->lower.image, f->lower.entry.number, i, &x)) == 0; i++) {
		cleanup_free char *name = strndup(x.name, x.name_size);
		if (!name)
			return -ENOMEM;
		r = upper_put_xattr(o->options.upper, f->id, name, x.value, x.value_size);
		if (r < 0)
			return r;
	}
	return r == -ENODATA ? 0 : r;
}

/*
 * -EEXIST and -ENODATA as setxattr(2) has them; 1 when it has that value already, which
 * is no change, as on ext4.
 */
static int compare(struct upper_reader *reader, const struct found *f,
		   const struct overlay_xattr *x)
{
	cleanup_buffer struct buffer value = BUFFER_INIT;
	int r = is_of_image(f) ? image_value(f, x->name, &value)
			       : upper_find_xattr(reader, f->id, x->name, &value);
	if (r == -ENODATA)
		return x->value && !(x->flags & XATTR_REPLACE) ? 0 : -ENODATA;
	if (r < 0)
		return r;
	if (x->flags & XATTR_CREATE)
		return -EEXIST;
	return x->value && value.size == x->size &&
	       (x->size == 0 || memcmp(value.data, x->value, x->size) == 0);
}

static int set(struct overlay *o, struct upper_reader *reader, struct found *f,
	       const struct overlay_xattr *x)
{
	struct upper *upper = o->options.upper;
	bool of_image = is_of_image(f);
	int r = compare(reader, f, x);
	if (r != 0)
		return r < 0 ? r : 0;
	r = node_take(o, reader, f, true);
	if (r == 0 && of_image)
		r = take_from_image(o, f);
	if (r == 0)
		r = x->value ? upper_put_xattr(upper, f->id, x->name, x->value, x->size)
			     : upper_delete_xattr(upper, f->id, x->name);
	if (r < 0)
		return r;
	f->row.flags |= NODE_XATTRS;
	f->row.ctime = overlay_now_after(&f->row.ctime);
	return upper_update_node(upper, &f->row);
}

int overlay_set_xattr(struct overlay *o, const struct caller *caller, uint64_t node,
		      const struct overlay_xattr *xattr)
{
	struct upper_reader *reader;
	struct found f;
	uint64_t ignored;
	if (!is_supported(xattr->name))
		return -EOPNOTSUPP;
	int r = change_begin(o, xattr->value != NULL && !caller->again, &reader);
	if (r < 0 || change_was_done(o, caller, &ignored))
		return r;
	r = node_find(o, reader, node, &f);
	if (r == 0)
		r = set(o, reader, &f, xattr);
	return change_end(o, caller, r, node);
}
