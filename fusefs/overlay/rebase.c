#include "fusefs/overlay/rebase_compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void tell_conflicts(struct rebase *r)
{
	qsort(r->conflicts, r->conflict_count, sizeof(*r->conflicts), compare_texts);
	for (size_t i = 0; i < r->conflict_count; i++)
		r->q->conflict(r->q->context, r->conflicts[i]);
}

static int judge(struct rebase *r)
{
	static const struct rebase_place root = { .old_dir = TREE_ROOT,
						  .has_old = true,
						  .new_dir = TREE_ROOT,
						  .out_dir = TREE_ROOT };
	int code = rebase_load(r);
	if (code == 0)
		code = rebase_put_root(r);
	if (code == 0)
		code = rebase_judge(r, &root);
	return code == 0 ? rebase_judge_launchers(r) : code;
}

static int run(struct rebase *r, struct rebase_result *ret)
{
	struct upper *upper = r->q->upper;
	/* What an earlier server left unlinked has no name to be judged by. */
	(void)upper_reap_now(upper);
	r->reader = upper_read(upper);
	int code = judge(r);
	upper_read_end(upper, r->reader);
	*ret = (struct rebase_result){ .kept = r->after.count,
				       .gone = r->gone,
				       .conflicts = r->conflict_count };
	if (code < 0)
		return code;
	if (r->conflict_count > 0) {
		tell_conflicts(r);
		return -EEXIST;
	}
	return rebase_apply(r);
}

int overlay_rebase(const struct rebase_request *request, struct rebase_result *ret,
		   struct error *reterr)
{
	CLEANUP(overlay_freep) struct overlay *o = NULL;
	CLEANUP(rebase_release) struct rebase r = { .q = request, .reterr = reterr };
	const struct overlay_options options = { .tree = request->before,
						 .upper = request->upper };
	int code = overlay_new(&options, &o);
	r.o = o;
	return code == 0 ? run(&r, ret) : code;
}
