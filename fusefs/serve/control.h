/*
 * The control socket of a mount: SEQPACKET, one JSON object each way per connection, for
 * the same uid and root only. {"verb":"status"} is answered with health and counters,
 * {"verb":"changes"} as answer_changes.h tells.
 */
#pragma once

#include <stdbool.h>

#include "cache/base/error.h"
#include "cache/base/json.h"
#include "fusefs/supervise/descriptors.h"

struct control;

/* Where a socket is. Borrowed. */
struct control_place {
	const char *path; /* as mount.json has it */
	const char *suffix;
	/* Where it is (SOCKET_FILE and the suffix) when the directory of `path` has gone,
	 * as /run/user/UID does at a logout; NULL: nowhere. */
	const char *state_path;
};

/*
 * Answers a request (borrowed, from an untrusted peer of the right uid) with an object,
 * caller's reference; NULL without memory. Descriptors that it puts into fds (all -1) go
 * with the answer and stay its own. From the control thread.
 */
typedef json_t *control_answer(void *context, const json_t *request,
			       int fds[DESCRIPTORS_MOST]);

struct control_options {
	struct control_place place;
	bool may_lack; /* there may be no socket at first, as *reterr says then */
	control_answer *answer;
	void *context;
};

/*
 * Binds the socket (an old one of that name is replaced) and answers in a thread, which
 * makes it again when its name has gone.
 */
int control_start(const struct control_options *options, struct control **ret,
		  struct error *reterr);
/* Stops the thread and removes the socket. */
void control_stop(struct control *control);

/*
 * Asks the server at that place; the caller's reference to its answer. -ECONNREFUSED or
 * -ENOENT: nobody is there; -ETIMEDOUT: no answer in that time.
 */
int control_ask(const struct control_place *place, const json_t *request,
		int milliseconds, json_t **ret_answer);
/* The same with descriptors: those in fds (-1: none; borrowed) go with the request, and
 * then it holds those that came with the answer, the caller's. On an error none came. */
int control_trade(const struct control_place *place, const json_t *request,
		  int milliseconds, int fds[DESCRIPTORS_MOST], json_t **ret_answer);
