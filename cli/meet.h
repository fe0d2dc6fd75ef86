/* What a command finds when it comes to a mount. One thread. */
#pragma once

#include "cache/base/json.h"
#include "fusefs/serve/control.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/state.h"

enum met_state {
	MET_NOTHING, /* not mounted here, nor elsewhere */
	MET_SERVING,
	MET_HANGING,   /* its worker does not get on */
	MET_SILENT,    /* somebody holds it and does not answer */
	MET_ELSEWHERE, /* served in another mount namespace */
	MET_DEAD,      /* was mounted still, and nobody serves it */
};

struct met {
	enum met_state state;
	json_t *answer; /* of the supervisor, or NULL */
};

/* A mount whose supervisor has died gets another one; one that nobody serves is taken
 * away. */
void meet(const struct state *state, const struct plan *plan, struct met *ret);
/* Of its supervisor's socket. It borrows from both. */
struct control_place meet_place(const struct state *state, const struct plan *plan);
void met_release(struct met *met);
/* For people and in JSON. */
const char *met_text(const struct met *met);

/*
 * Says what is at a path that this user has no mount at, or none that its state tells of:
 * it may be another's. The exit status 1.
 */
int meet_say_none(const char *path);

/* Why a mount ended that was given up, and when; false: none was. ret_why of 200 bytes.
 */
bool meet_ended(const struct state *state, char *ret_why, int64_t *ret_when);
