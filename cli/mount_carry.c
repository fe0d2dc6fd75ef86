#include "cli/mount_carry.h"

#include "cache/base/file.h"
#include "cli/mount_plan.h"
#include "cli/output.h"
#include "fusefs/overlay/rebase.h"
#include "fusefs/serve/layers.h"
#include "fusefs/serve/plan_changed.h"
#include "fusefs/serve/view.h"
#include "fusefs/upper/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFLICTS_SHOWN = 20 };

static int open_upper(const struct plan *plan, struct upper **ret, struct error *reterr)
{
	const struct upper_options options = { .path = plan->upper,
					       .sync = true,
					       .owner = plan->path };
	return upper_open(&options, ret, reterr);
}

int carry_look(const struct plan *plan, enum carry_state *ret, struct error *reterr)
{
	cleanup_buffer struct buffer base = BUFFER_INIT;
	*ret = CARRY_NOTHING;
	if (!plan_has_rows(plan))
		return 0;
	int r = plan_read_base(plan, &base, reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = plan_is_base(plan, &base) ? CARRY_FITS : CARRY_NEEDED;
	return 0;
}

static bool is_before(const struct plan *before, const struct plan *plan,
		      const struct buffer *base)
{
	return strcmp(before->upper, plan->upper) == 0 && plan_is_base(before, base);
}

/* *ret_mounted: it is what is mounted now, and not one that was kept. */
static int find_before(const struct carry *c, struct plan *ret, bool *ret_mounted,
		       struct error *reterr)
{
	cleanup_buffer struct buffer base = BUFFER_INIT;
	int r = plan_read_base(c->plan, &base, reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	for (int kept = 0; kept < 2; kept++) {
		CLEANUP(plan_release) struct plan plan = { .path = NULL };
		r = kept ? plan_changed_read(state_fd(c->state), c->plan->upper, &plan)
			 : plan_read(state_fd(c->state), &plan);
		/* Of one a killed command may have left the skeleton of another. */
		if (r < 0 || !is_before(&plan, c->plan, &base) ||
		    !mount_plan_is_whole(c->state, &plan))
			continue;
		*ret = plan;
		*ret_mounted = !kept;
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
	int r = plan_describe(c->plan, &base);
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

/*
 * Killed before mount.json follows, the rows are over `next` or still over what they were
 * over: both must be known, one as what is mounted, and one as what is kept.
 */
static int keep_both(const struct carry *c, bool mounted, struct error *reterr)
{
	int r = 0;
	if (mounted)
		r = plan_changed_write(state_fd(c->state), c->plan);
	else
		r = layers_write(c->layers_fd, c->plan, true);
	if (r == 0 && !mounted)
		r = plan_changed_keep(state_fd(c->state), c->plan);
	if (r == 0 && !mounted)
		r = plan_write(state_fd(c->state), c->plan);
	return r < 0
		   ? error_errno(reterr, r, "cannot write to '%s'", state_path(c->state))
		   : 0;
}

int carry_over(const struct carry *c, struct plan *ret_before, struct error *reterr)
{
	CLEANUP(plan_release) struct plan before = { .path = NULL };
	bool mounted = false;
	int r = find_before(c, &before, &mounted, reterr);
	if (r == 0)
		r = keep_both(c, mounted, reterr);
	if (r == 0)
		r = carry(c, &before, reterr);
	if (r == 1) {
		*ret_before = before;
		before = (struct plan){ .path = NULL };
	}
	return r;
}
