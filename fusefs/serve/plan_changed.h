/*
 * Rows of an upper are over the layers of one plan, which its file `base` describes. That
 * plan is mount.json, or stands in changed/<XXH3-128 of the upper's path>.json beside it:
 * when another upper or none was mounted since, and while rows are carried over from one
 * plan to the next. Its skeleton is changed/<digest of that>.pack. One thread, under the
 * state's lock.
 */
#pragma once

#include "cache/base/bytes.h"
#include "fusefs/serve/plan.h"

/* What `base` says of a plan. */
int plan_describe(const struct plan *plan, struct buffer *out);
/* Is that what a plan would be described as? */
bool plan_is_base(const struct plan *plan, const struct buffer *base);
/*
 * The file of plan->upper, once it is certain: a command that carried changes over may
 * have been killed. -ENOENT: the rows, if there are any, are over nothing that is known.
 */
int plan_read_base(const struct plan *plan, struct buffer *out, struct error *reterr);
bool plan_has_rows(const struct plan *plan);

/* The other plan that is kept for an upper; its pack_file is set. As plan_read(). */
int plan_changed_read(int state_fd, const char *upper, struct plan *ret);
/* For plan->upper; the pack gets another name. */
int plan_changed_write(int state_fd, const struct plan *plan);
/*
 * Before plan_write() of `next`: what is mounted now stays known when there are changes
 * over it that `next` leaves aside.
 */
int plan_changed_keep(int state_fd, const struct plan *next);
/* Calls `visit` for each plan that is kept, until it returns something else than 0. */
typedef int plan_changed_visit(void *context, const struct plan *plan);
int plan_changed_each(int state_fd, plan_changed_visit *visit, void *context);
