#include "cli/clashes.h"

#include "cli/output.h"
#include "fusefs/tree/tree.h"

#include <errno.h>

enum { LINES_MOST = 5 };

struct report {
	const struct plan *plan;
	struct error *err; /* of a strict mount: the first clash ends it */
	bool strict;
	size_t count;
};

static int report_clash(void *context, const struct tree_clash *clash)
{
	struct report *r = context;
	const char *winner = r->plan->layers[clash->winner].name;
	const char *loser = r->plan->layers[clash->loser].name;
	if (r->strict)
		return error_set(r->err, -EEXIST,
				 "'%s' is not the same in %s and in %s (--strict)",
				 clash->path, winner, loser);
	if (r->count++ < LINES_MOST)
		say_note("'%s' is taken from %s and not from %s", clash->path, winner,
			 loser);
	return 0;
}

int clashes_in(struct view *view, const struct plan *plan, bool strict,
	       struct error *reterr)
{
	struct report report = { .plan = plan, .err = reterr, .strict = strict };
	int r = tree_clashes(view_tree(view), report_clash, &report);
	if (r < 0 && r != -EEXIST && !*reterr->text)
		return error_errno(reterr, r, "cannot unite the wheels");
	if (report.count > LINES_MOST)
		say_note("and so are %zu more files; --strict refuses such wheels",
			 report.count - LINES_MOST);
	return r;
}

int clashes_report(const struct state *state, const struct plan *plan,
		   struct cache *cache, bool strict, struct error *reterr)
{
	CLEANUP(view_freep) struct view *view = NULL;
	int r = view_open(state_fd(state), plan, cache, &view, reterr);
	return r < 0 ? (*reterr->text ? r
				      : error_errno(reterr, r, "cannot unite the wheels"))
		     : clashes_in(view, plan, strict, reterr);
}
