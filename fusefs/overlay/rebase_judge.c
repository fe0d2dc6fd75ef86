/*
 * The rules. `lo` is what the lower of before has under a name, `ln` what that of after
 * has; a row is judged by these two and by what was shown.
 */
#include "fusefs/overlay/rebase_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char cache_name[] = "__pycache__";

static bool is_bytecode(const struct rebase_case *c)
{
	return rebase_is_bytecode(c->in->is_cache, c->name, c->size);
}

static bool is_cache(const struct rebase_case *c)
{
	return c->size == sizeof(cache_name) - 1 &&
	       memcmp(c->name, cache_name, c->size) == 0;
}

static bool is_directory(const struct node *n)
{
	return n->entry.type == ENTRY_DIRECTORY;
}

/* Do both lowers have the same? */
static int is_untouched(struct rebase *r, const struct rebase_case *c, bool *ret)
{
	*ret = false;
	return c->has_lo && c->has_ln ? rebase_same_lower(r, &c->lo, &c->ln, ret) : 0;
}

static bool is_installers(const struct rebase_case *c)
{
	return rebase_is_installers(c->in->is_info, c->name, c->size);
}

/* An installer's notes follow what they are of. */
static int contest(struct rebase *r, const struct rebase_case *c)
{
	return is_installers(c) ? 0 : rebase_conflict(r);
}

static int judge_nothing(struct rebase *r, const struct rebase_case *c)
{
	bool same;
	if (!c->has_ln || is_bytecode(c))
		return 0;
	int code = is_untouched(r, c, &same);
	if (code < 0)
		return code;
	return same || is_cache(c) ? rebase_put_name(r, c, 0, false) : contest(r, c);
}

/* What differs from both lowers, or has none: all that is left is to compare it. */
static int judge_other(struct rebase *r, const struct rebase_case *c)
{
	bool equal = is_bytecode(c);
	int code = c->has_ln && !equal ? rebase_equals(r, &c->f, &c->ln, &equal) : 0;
	if (code == 0 && c->has_ln && !equal)
		code = rebase_same_launcher(r, &c->f, &c->ln, &equal);
	/* Put back to what it was: nobody wants to keep that. */
	if (code == 0 && c->has_lo && !equal)
		code = rebase_equals(r, &c->f, &c->lo, &equal);
	return code < 0 || equal ? code : contest(r, c);
}

/* Notes about what was installed here go where the lock brings it, or took it away. */
static bool is_outdated(const struct rebase_case *c)
{
	const struct rebase_place *in = c->in;
	bool made_here = !in->has_old && in->new_dir != 0;
	bool dropped = (in->has_old || in->lower_dir != 0) && in->new_dir == 0;
	return is_installers(c) && (made_here || dropped);
}

static int judge_made_file(struct rebase *r, const struct rebase_case *c)
{
	uint64_t ignored;
	bool same;
	bool equal = false;
	if (is_outdated(c))
		return 0;
	int code = is_untouched(r, c, &same);
	if (code == 0 && same && c->in->lower_dir != 0)
		code = rebase_equals(r, &c->f, &c->ln, &equal);
	if (code == 0 && same && !equal)
		code = rebase_same_launcher(r, &c->f, &c->ln, &equal);
	if (code == 0 && c->has_lo && !c->has_ln)
		code = rebase_defer_launcher(r, c, &equal);
	if (code < 0 || equal)
		return code;
	if (same || (!c->has_lo && !c->has_ln))
		return rebase_put_made(r, c, &ignored);
	return judge_other(r, c);
}

static struct rebase_place place_below(const struct rebase_case *c, uint64_t new_dir,
				       uint64_t out_dir)
{
	return (struct rebase_place){ .old_dir = c->f.id,
				      .is_moved = !(c->f.id & NODE_UPPER),
				      .new_dir = new_dir,
				      .out_dir = out_dir,
				      .is_cache = is_cache(c),
				      .is_info = rebase_is_info(c->name, c->size) ||
						 c->in->is_info };
}

/* Nothing lower is in it any more, or never was. */
static int keep_directory(struct rebase *r, const struct rebase_case *c)
{
	uint64_t id;
	int code = rebase_put_made(r, c, &id);
	if (code < 0)
		return code;
	const struct rebase_place below = place_below(c, 0, id);
	size_t count = r->after.count;
	code = rebase_judge(r, &below);
	/* An empty one was made by somebody who wants it. */
	r->solid += count == r->after.count && !below.is_cache;
	return code;
}

/* In place of a lower one: as it was before, it is no change. */
static int is_made_again(struct rebase *r, const struct rebase_case *c, bool *ret)
{
	struct rebase_place below = place_below(c, 0, 0);
	*ret = false;
	if (!c->has_lo || !is_directory(&c->lo) || is_cache(c))
		return 0;
	below.lower_dir = c->lo.id;
	return rebase_is_put_back(r, &below, ret);
}

static int judge_made_directory(struct rebase *r, const struct rebase_case *c)
{
	bool same;
	bool again = false;
	int code = is_untouched(r, c, &same);
	if (code == 0 && !same && !(c->has_ln && is_directory(&c->ln)))
		code = is_made_again(r, c, &again);
	if (code < 0 || again)
		return code;
	if (!c->has_ln || same)
		return keep_directory(r, c);
	if (is_directory(&c->ln)) {
		struct rebase_place below = place_below(c, c->ln.id, c->ln.id);
		bool replaces = c->has_lo && is_directory(&c->lo) && !is_cache(c);
		below.lower_dir = replaces ? c->lo.id : 0;
		return !c->has_lo || replaces || is_cache(c) ? rebase_judge(r, &below)
							     : rebase_conflict(r);
	}
	return is_cache(c) ? 0 : rebase_conflict(r);
}

/* The lower directory is gone: what was changed in it stays, unless it is bytecode. */
static int judge_dropped_directory(struct rebase *r, const struct rebase_case *c)
{
	size_t count = r->after.count;
	size_t solid = r->solid;
	struct rebase_case alone = *c;
	uint64_t id;
	alone.has_ln = false;
	int code = rebase_put_directory(r, &alone, &id);
	struct rebase_place below = place_below(c, 0, id);
	below.has_old = true;
	below.is_moved = false;
	if (code == 0)
		code = rebase_judge(r, &below);
	if (code < 0)
		return code;
	bool stays = r->solid > solid;
	if (stays && !c->has_ln)
		return 0;
	r->gone += r->after.count - count - 1;
	while (r->after.count > count)
		free(r->after.items[--r->after.count].text);
	r->solid = solid;
	return stays ? rebase_conflict(r) : 0;
}

static int put_lower(struct rebase *r, const struct rebase_case *c)
{
	int code = rebase_put_lower(r, c);
	return code == -EEXIST ? rebase_conflict(r) : code;
}

static int judge_lower_directory(struct rebase *r, const struct rebase_case *c)
{
	if (!c->has_ln || !is_directory(&c->ln))
		return judge_dropped_directory(r, c);
	int code = c->f.has_row ? put_lower(r, c) : 0;
	struct rebase_place below = place_below(c, c->ln.id, c->ln.id);
	below.has_old = true;
	below.is_moved = false;
	return code == 0 ? rebase_judge(r, &below) : code;
}

static int judge_lower_file(struct rebase *r, const struct rebase_case *c)
{
	const struct upper_dentry *d = &c->row->d;
	bool same_type =
	    c->has_ln && c->f.has_lower && c->f.lower.entry.type == c->ln.entry.type;
	if (!(c->f.row.flags & NODE_CONTENT))
		return same_type ? put_lower(r, c) : 0;
	if (same_type && d->has_base && digest_equal(&d->base, &c->ln.entry.digest))
		return put_lower(r, c);
	return judge_other(r, c);
}

/* Something lower that has another name too: both are one file that was made. */
static int judge_linked_file(struct rebase *r, const struct rebase_case *c)
{
	bool same;
	int code = is_untouched(r, c, &same);
	if (code < 0)
		return code;
	bool own = c->f.has_row && (c->f.row.flags & NODE_CONTENT);
	bool pinned = c->row && c->row->d.pin && !(c->f.id & NODE_UPPER);
	return pinned && !own && !same && !c->in->is_moved ? judge_lower_file(r, c)
							   : judge_made_file(r, c);
}

static int judge_case(struct rebase *r, const struct rebase_case *c)
{
	if (c->f.id == 0)
		return c->row || c->in->lower_dir ? judge_nothing(r, c) : 0;
	bool directory = node_is_directory(&c->f);
	bool made =
	    (c->f.id & NODE_UPPER) || c->in->is_moved || rebase_is_moved(r, c->f.id);
	if (directory)
		return made ? judge_made_directory(r, c) : judge_lower_directory(r, c);
	if (made)
		return judge_linked_file(r, c);
	return c->row && c->f.has_row ? judge_lower_file(r, c) : 0;
}

static int look_up(struct tree *tree, bool wanted, uint64_t dir,
		   const struct rebase_case *c, struct node *ret, bool *ret_has)
{
	int code = wanted ? tree_lookup(tree, dir, c->name, c->size, ret) : -ENOENT;
	*ret_has = code == 0;
	return code == -ENOENT ? 0 : code;
}

static int judge_name(struct rebase *r, const struct rebase_place *in, const char *name)
{
	struct found_name shown;
	struct rebase_case c = { .in = in, .name = name, .size = strlen(name) };
	size_t path = r->path.size;
	size_t before = r->after.count + r->conflict_count;
	c.row = rebase_find_name(r, in->old_dir, name, c.size);
	int code = buffer_printf(&r->path, "%s%s", path ? "/" : "", name);
	if (code == 0)
		code = name_find(r->o, r->reader, in->old_dir, name, &shown);
	uint64_t lower_dir = in->has_old ? in->old_dir : in->lower_dir;
	if (code == 0)
		code = look_up(r->q->before, lower_dir != 0, lower_dir, &c, &c.lo,
			       &c.has_lo);
	if (code == 0)
		code = look_up(r->q->after, in->new_dir != 0, in->new_dir, &c, &c.ln,
			       &c.has_ln);
	if (code == 0) {
		c.f = shown.node;
		code = judge_case(r, &c);
	}
	r->path.size = path;
	r->gone += c.row && r->after.count + r->conflict_count == before;
	return code;
}

/* All that was shown, of a directory without a lower side. */
static int judge_shown(struct rebase *r, const struct rebase_place *place)
{
	cleanup_buffer struct buffer names = BUFFER_INIT;
	int code = rebase_names_in(r, place->old_dir, &names);
	const char *name = (const char *)names.data;
	const char *end = name ? name + names.size : NULL;
	for (; code == 0 && name < end; name += strlen(name) + 1)
		code = judge_name(r, place, name);
	return code;
}

static int append_lower(void *context, const struct node *child, uint64_t cookie)
{
	const struct entry *e = &child->entry;
	(void)cookie;
	int code = buffer_append(context, e->name, e->name_size);
	return code == 0 ? buffer_append(context, "", 1) : code;
}

/* What the lower one had that was replaced, and was not made again. */
static int judge_removed(struct rebase *r, const struct rebase_place *place)
{
	cleanup_buffer struct buffer names = BUFFER_INIT;
	int code = place->lower_dir == 0 ? 0
					 : tree_list(r->q->before, place->lower_dir, 0,
						     append_lower, &names);
	const char *name = (const char *)names.data;
	const char *end = name ? name + names.size : NULL;
	for (; code == 0 && name < end; name += strlen(name) + 1) {
		struct found_name shown;
		code = name_find(r->o, r->reader, place->old_dir, name, &shown);
		if (code == 0 && shown.node.id == 0)
			code = judge_name(r, place, name);
	}
	return code;
}

static size_t first_touched(const struct rebase *r, uint64_t parent)
{
	size_t low = 0;
	size_t high = r->touched_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (r->touched[middle].parent < parent)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A lower directory that nobody changed, with changes below it. */
static int judge_passing(struct rebase *r, const struct rebase_place *place, uint64_t dir)
{
	char name[NAME_MOST + 1];
	struct node node;
	struct node shown;
	int code = dir & NODE_UPPER ? -ENOENT : tree_node(r->q->before, dir, &node);
	if (code < 0)
		return code == -ENOENT ? 0 : code;
	size_t size = node.entry.name_size;
	if (rebase_find_name(r, place->old_dir, node.entry.name, size))
		return 0;
	code = tree_lookup(r->q->before, place->old_dir, node.entry.name, size, &shown);
	if (code < 0 || shown.id != dir)
		return code == -ENOENT ? 0 : code;
	memcpy(name, node.entry.name, size);
	name[size] = '\0';
	return judge_name(r, place, name);
}

static int judge_rows(struct rebase *r, const struct rebase_place *place)
{
	int code = 0;
	for (size_t i = rebase_first_of(r, place->old_dir);
	     code == 0 && i < r->before.count &&
	     r->before.items[i].d.parent == place->old_dir;
	     i++)
		code = judge_name(r, place, r->before.items[i].text);
	for (size_t i = first_touched(r, place->old_dir);
	     code == 0 && i < r->touched_count && r->touched[i].parent == place->old_dir;
	     i++)
		code = judge_passing(r, place, r->touched[i].dir);
	return code;
}

int rebase_judge(struct rebase *r, const struct rebase_place *place)
{
	/* Each directory has one place; rows that say else were not written by us. */
	int code = r->depth < REBASE_DEEPEST
		       ? rebase_put_key(r, KEY_JUDGED, place->old_dir, 0)
		       : -EBADMSG;
	if (code < 0)
		return code;
	r->depth++;
	code = place->has_old ? judge_rows(r, place) : judge_shown(r, place);
	if (code == 0)
		code = judge_removed(r, place);
	r->depth--;
	return code;
}
