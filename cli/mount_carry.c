#include "cli/mount_carry.h"

#include "cache/base/file.h"
#include "cli/output.h"
#include "fusefs/overlay/rebase.h"
#include "fusefs/serve/layers.h"
#include "fusefs/serve/view.h"
#include "fusefs/upper/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST_BASE = 64 << 20, CONFLICTS_SHOWN = 20 };

/* Rows name nodes by layer, so they fit only to the layers that they were made over. */
static const char base_name[] = "base";

int carry_describe(const struct plan *plan, struct buffer *out)
{
	int r = buffer_printf(out, "%s\n%s\n", plan->site_packages, plan->include);
	for (size_t i = 0; r == 0 && i < plan->count; i++) {
		char hex[DIGEST_HEX_SIZE];
		digest_format(&plan->layers[i].image, hex);
		r = buffer_printf(out, "%u %s\n", plan->layers[i].number, hex);
	}
	return r;
}

static int open_upper(const struct plan *plan, struct upper **ret, struct error *reterr)
{
	const struct upper_options options = { .path = plan->upper,
					       .sync = true,
					       .owner = plan->path };
	return upper_open(&options, ret, reterr);
}

/* A command that carried changes over was killed: whether it did is decided now. */
static int settle(const struct plan *plan, int fd, struct error *reterr)
{
	CLEANUP(upper_closep) struct upper *upper = NULL;
	return upper_base_is_staged(fd) ? open_upper(plan, &upper, reterr) : 0;
}

static bool is_equal(const struct buffer *a, const struct buffer *b)
{
	return a->size == b->size &&
	       (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* -ENOENT: the rows, if there are any, are over nothing that is known. */
static int read_base(const struct plan *plan, struct buffer *out, struct error *reterr)
{
	cleanup_fd int fd = file_open(AT_FDCWD, plan->upper, O_RDONLY | O_DIRECTORY, 0);
	int r = fd < 0 ? fd : settle(plan, fd, reterr);
	return r < 0 ? r : file_read_at(fd, base_name, LARGEST_BASE, out);
}

static bool has_rows(const struct plan *plan)
{
	struct stat st;
	cleanup_free char *index = path_join(plan->upper, "index.db");
	return index && lstat(index, &st) == 0 && st.st_size > 0;
}

int carry_look(const struct plan *plan, enum carry_state *ret, struct error *reterr)
{
	cleanup_buffer struct buffer wanted = BUFFER_INIT;
	cleanup_buffer struct buffer found = BUFFER_INIT;
	*ret = CARRY_NOTHING;
	if (!has_rows(plan))
		return 0;
	int r = read_base(plan, &found, reterr);
	if (r == 0 || r == -ENOENT)
		r = carry_describe(plan, &wanted);
	*ret = is_equal(&wanted, &found) ? CARRY_FITS : CARRY_NEEDED;
	return r;
}

/* Is that the plan that the rows are over? */
static bool is_base(const struct plan *before, const struct plan *plan,
		    const struct buffer *base)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	return strcmp(before->upper, plan->upper) == 0 &&
	       carry_describe(before, &text) == 0 && is_equal(&text, base);
}

static int find_before(const struct carry *c, struct plan *ret, enum plan_file *ret_file,
		       struct error *reterr)
{
	static const enum plan_file files[] = { PLAN_MOUNTED, PLAN_CHANGED };
	cleanup_buffer struct buffer base = BUFFER_INIT;
	int r = read_base(c->plan, &base, reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		CLEANUP(plan_release) struct plan plan = { .path = NULL };
		if (plan_read_file(state_fd(c->state), files[i], &plan) < 0 ||
		    !is_base(&plan, c->plan, &base))
			continue;
		*ret = plan;
		*ret_file = files[i];
		plan = (struct plan){ .path = NULL };
		return 0;
	}
	return error_set(reterr, -EEXIST,
			 "'%s' was changed while other packages were mounted there; "
			 "mount those, or drop the changes with --fresh",
			 c->plan->path);
}

static int flush(int dir, const char *name)
{
	cleanup_fd int fd = file_open_beneath(dir, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	return fsync(fd) < 0 ? -errno : file_sync_dir(dir);
}

struct conflicts {
	size_t count;
};

static void tell(void *context, const char *path)
{
	struct conflicts *conflicts = context;
	if (conflicts->count++ < CONFLICTS_SHOWN)
		say_as("conflict", "%s", path);
}

static void tell_end(const struct carry *c, const struct conflicts *conflicts)
{
	if (conflicts->count > CONFLICTS_SHOWN)
		say_as("conflict", "and %zu more", conflicts->count - CONFLICTS_SHOWN);
	(void)say_failed("'%s' is mounted with the packages of before: what was changed "
			 "in it conflicts with the new ones; undo that there and mount "
			 "again, or drop all changes with --fresh",
			 c->plan->path);
}

static int rebase(const struct carry *c, struct upper *upper, struct view *before,
		  struct view *after, struct error *reterr)
{
	cleanup_buffer struct buffer base = BUFFER_INIT;
	struct rebase_result result = { .kept = 0 };
	struct conflicts conflicts = { .count = 0 };
	int r = carry_describe(c->plan, &base);
	/* Numbers are on disk before rows are that name them. */
	if (r == 0)
		r = layers_write(c->layers_fd, c->plan, true);
	if (r == 0)
		r = flush(c->layers_fd, "layers");
	const struct rebase_request request = { .upper = upper,
						.before = view_tree(before),
						.after = view_tree(after),
						.base = base.data,
						.base_size = base.size,
						.conflict = tell,
						.context = &conflicts };
	if (r == 0)
		r = overlay_rebase(&request, &result, reterr);
	if (r == -EEXIST && conflicts.count > 0) {
		tell_end(c, &conflicts);
		return 1;
	}
	if (r == 0 && c->verbose)
		say_note("changes in '%s': %zu kept, %zu gone", c->plan->path,
			 result.kept, result.gone);
	return r;
}

static int carry(const struct carry *c, const struct plan *before, struct error *reterr)
{
	CLEANUP(view_freep) struct view *old = NULL;
	CLEANUP(view_freep) struct view *new = NULL;
	CLEANUP(upper_closep) struct upper *upper = NULL;
	int r = view_open(state_fd(c->state), before, c->cache, &old, reterr);
	if (r < 0)
		return error_prefix(reterr, r,
				    "'%s' was changed while other packages were mounted "
				    "there, which are needed once more (--fresh drops "
				    "the changes)",
				    c->plan->path);
	r = view_open(state_fd(c->state), c->plan, c->cache, &new, reterr);
	if (r == 0)
		r = open_upper(c->plan, &upper, reterr);
	if (r == 0)
		r = rebase(c, upper, old, new, reterr);
	return r < 0 && !*reterr->text
		   ? error_errno(reterr, r, "cannot carry over what was changed in '%s'",
				 c->plan->path)
		   : r;
}

static int keep_next(const struct carry *c, struct error *reterr)
{
	int r = plan_write_changed(state_fd(c->state), c->plan);
	return r < 0
		   ? error_errno(reterr, r, "cannot write to '%s'", state_path(c->state))
		   : 0;
}

int carry_over(const struct carry *c, struct plan *ret_before, struct error *reterr)
{
	CLEANUP(plan_release) struct plan before = { .path = NULL };
	enum plan_file file = PLAN_MOUNTED;
	int r = find_before(c, &before, &file, reterr);
	/* Killed before mount.json follows, the rows are over what this one says. */
	if (r == 0 && file == PLAN_MOUNTED)
		r = keep_next(c, reterr);
	if (r == 0)
		r = carry(c, &before, reterr);
	if (r == 1) {
		*ret_before = before;
		before = (struct plan){ .path = NULL };
	}
	return r;
}
